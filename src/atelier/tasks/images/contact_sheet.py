"""A labelled grid of pictures, as an overview of what a stage did."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from atelier.tasks.images.codec import Pixels

_GAP_PX = 4
_TEXT_PX = 13  # height of the letters
_BACKGROUND = (250, 250, 248)
_INK = (40, 40, 40)


def contact_sheet(
    cells: Sequence[Sequence[Pixels | None]],
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    cell_px: int = 128,
) -> Pixels:
    """Lay pictures out in a grid with labels on the left and above.

    Args:
        cells: the pictures, row by row, each uint8 (H, W, 3) sRGB of any size; rows may differ in length, and None is
            an empty cell. A picture is shrunk or enlarged to fit its cell with its proportions kept.
        rows: one label for each row, or none at all.
        columns: labels of the columns from the left, or none at all.
        cell_px: width and height of a cell, in pixels.

    Returns:
        The sheet, uint8 (H, W, 3).

    Raises:
        ValueError: there is no picture, or the labels do not fit the grid.
    """
    width = max((len(row) for row in cells), default=0)
    if width == 0:
        raise ValueError("a contact sheet needs at least one picture")
    if len(rows) not in (0, len(cells)) or len(columns) > width:
        raise ValueError(f"{len(rows)} row and {len(columns)} column labels for a grid of {len(cells)} x {width}")
    font = ImageFont.load_default(_TEXT_PX)
    left = max((round(font.getlength(label)) for label in rows), default=0) + (2 * _GAP_PX if rows else _GAP_PX)
    top = _TEXT_PX + 3 * _GAP_PX if columns else _GAP_PX
    pitch = cell_px + _GAP_PX
    sheet = Image.new("RGB", (left + width * pitch, top + len(cells) * pitch), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for column, label in enumerate(columns):
        x = left + column * pitch + cell_px / 2
        draw.text((x, top / 2), _fitting(label, font, cell_px), fill=_INK, font=font, anchor="mm")
    for r, row in enumerate(cells):
        y = top + r * pitch
        if rows:
            draw.text((left - _GAP_PX, y + cell_px / 2), rows[r], fill=_INK, font=font, anchor="rm")
        for c, picture in enumerate(row):
            if picture is None:
                continue
            shown = _fitted(picture, cell_px)
            x = left + c * pitch
            sheet.paste(shown, (x + (cell_px - shown.width) // 2, y + (cell_px - shown.height) // 2))
    return np.asarray(sheet, dtype=np.uint8)


def _fitted(picture: Pixels, cell_px: int) -> Image.Image:
    """The picture at the largest size that fits a square cell."""
    image = Image.fromarray(picture)
    scale = cell_px / max(image.size)
    if scale == 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _fitting(label: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int) -> str:
    """The label, cut with an ellipsis where it is wider than its column."""
    if font.getlength(label) <= width_px:
        return label
    while label and font.getlength(label + "…") > width_px:
        label = label[:-1]
    return label + "…"
