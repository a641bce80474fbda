"""Pictures before and after of an evaluation, and a table of each picture's metrics."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from atelier.tasks.evaluation.protocol import Shown
from atelier.tasks.images.codec import Pixels, decode, encode
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.runtime.files import write

GRID_COLUMNS = 6
CELL_PX = 160
NEAREST = "nearest.png"


def write_plots(
    folder: Path,
    rows: list[tuple[str, str, float, float]],
    pairs: list[tuple[Pixels, Pixels]],
    paintings: list[bytes],
    labels: tuple[str, str] = ("photograph", "stylized"),
) -> None:
    """Write `ssim.csv` for DVC's plots, `pairs/` and `grid.png`; the folder's content is replaced.

    Args:
        rows: picture, group, SSIM and luminance correlation of each measured picture.
        paintings: encoded pictures of the style, for the last row of the grid; none of a model that generates.
    """
    shutil.rmtree(folder, ignore_errors=True)
    lines = ["image,group,ssim,correlation"]
    lines += [f"{picture},{group},{ssim:.5f},{correlation:.5f}" for picture, group, ssim, correlation in rows]
    write(folder / "ssim.csv", ("\n".join(lines) + "\n").encode())
    for index, (before, after) in enumerate(pairs):
        write(folder / "pairs" / f"{index:02}-before.jpg", encode(before, "jpeg", quality=92))
        write(folder / "pairs" / f"{index:02}-after.jpg", encode(after, "jpeg", quality=92))
    cells: list[list[Pixels]] = []
    names: list[str] = []
    for start in range(0, len(pairs), GRID_COLUMNS):
        part = pairs[start : start + GRID_COLUMNS]
        cells += [[before for before, _ in part], [after for _, after in part]]
        names += labels
    if paintings:
        cells.append([decode(data) for data in paintings])
        names.append("the style")
    write(folder / "grid.png", encode(contact_sheet(cells, rows=names, cell_px=CELL_PX), "png"))


def write_nearest(folder: Path, shown: Sequence[Shown]) -> None:
    """Write `nearest.png`: generated pictures, below each the nearest training picture, and that with the nearest face.

    Args:
        shown: each generated picture with its one or two training pictures.
    """
    cells, names = [], []
    for start in range(0, len(shown), GRID_COLUMNS):
        rows = list(zip(*shown[start : start + GRID_COLUMNS], strict=True))
        cells += rows
        names += ["generated", "nearest", "nearest face"][: len(rows)]
    write(folder / NEAREST, encode(contact_sheet(cells, rows=names, cell_px=CELL_PX), "png"))
