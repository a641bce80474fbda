"""All styles that a model knows by name, on one picture."""

from pathlib import Path

import numpy as np

from atelier.models import artifact
from atelier.models.card import ModelCard
from atelier.models.controls import Controls, Style
from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.inference.backends import pixels_painter
from atelier.tasks.runtime.files import write

CELL_PX = 320  # long side of each painted picture
COLUMNS = 5


def style_names(model: Path) -> tuple[str, ...]:
    """Names of the styles of a model, in their order; none where it knows none by name.

    Raises:
        FileNotFoundError, ValueError: as `ModelCard.read`.
    """
    return ModelCard.read(model).styles


def write_style_sheet(model: Path, picture: Path, file: Path) -> None:
    """Write a PNG of a picture, and of it in each named style of a model.

    Args:
        picture: shrunk to a long side of `CELL_PX`.

    Raises:
        FileExistsError: `file` exists.
        FileNotFoundError, ValueError: the model or the picture cannot be read, or the model knows no style by name.
    """
    if file.exists():
        raise FileExistsError(f"{file} exists: choose another name")
    names = style_names(model)
    if not names:
        raise ValueError(f"{model.name} knows no style by name: give it a picture, `atelier stylize … --style IMAGE`")
    pixels = codec.load(picture)
    pixels = codec.scaled(pixels, CELL_PX / max(pixels.shape[:2]))
    trained = artifact.load(model)
    cells = [_labelled("photograph", pixels)]
    for name in names:
        cells.append(_labelled(name, pixels_painter((trained, Controls(styles=(Style(name),))))(pixels)))
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    blank = np.full_like(cells[0], 255)
    sheet = np.vstack([np.hstack(row + [blank] * (COLUMNS - len(row))) for row in rows])
    write(file, codec.encode(sheet, "png"))


def _labelled(name: str, pixels: Pixels) -> Pixels:
    """A picture below its name, without the rest of the square that a contact sheet has."""
    sheet = contact_sheet([[pixels]], (), (name,), CELL_PX)
    rest = CELL_PX - pixels.shape[0]
    top = sheet.shape[0] - CELL_PX - rest % 2  # height of the name
    return np.delete(sheet, np.r_[top : top + rest // 2, sheet.shape[0] - rest // 2 : sheet.shape[0]], 0)
