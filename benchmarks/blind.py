"""Blind sheets of thirty pairs, ours beside each of the others, as `atelier evaluate --sheet` writes them.

A sheet is written once, as a page and as pictures of five pairs each, left and right of the photograph. Who judges it
saves the answers beside its key as `answers.txt`, lines such as "7 left"; the command that wrote it then counts them.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from atelier.tasks.evaluation.preference import Pair, count, read_answers, read_key
from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.inference.preference_sheet import write_sheet
from painters import Painter

PAIRS = 30  # of a sheet
ROWS, CELL_PX = 5, 480  # of a picture
CORNER = 0.4  # side of the painting that a photograph has in its corner, as a share of the photograph's


def link_pairs(
    painters: list[Painter], paintings: Mapping[str, Pixels], photos: Mapping[str, Pixels], room: Path
) -> dict[str, Pixels]:
    """Photographs with a painting in the corner, by the names of both; as painted, they are linked in `room/pairs`."""
    shown: dict[str, Pixels] = {}
    for number in range(min(PAIRS, len(photos) * len(paintings))):
        photo = list(photos)[number % len(photos)]
        painting = list(paintings)[(number + number // len(photos)) % len(paintings)]
        name = f"{photo} as {painting}"
        before, corner = photos[photo].copy(), paintings[painting]
        corner = codec.scaled(corner, CORNER * min(before.shape[:2]) / max(corner.shape[:2]))
        before[-corner.shape[0] :, -corner.shape[1] :] = corner
        shown[name] = before
        for painter in painters:
            link = room / "pairs" / painter.folder / f"{name}.png"
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                os.link(room / painting / painter.folder / f"{photo}.png", link)
    return shown


def preferences(painters: list[Painter], room: Path, photos: Mapping[str, Pixels], folder: Path) -> dict[str, Any]:
    """Sheets of the first painter beside each other one, and the counts of the answers.

    Args:
        room: holds a folder of painted photographs for each painter.
        folder: of the sheets.
    """
    (ours, *others), counts = painters, dict[str, Any]()
    for other in others:
        sheet = folder / f"{ours.folder} {other.folder}"
        names = {str(room / painter.folder): painter.name for painter in (ours, other)}
        if not (sheet / "key.json").is_file():
            files = {name: codec.encode(pixels, "png") for name, pixels in photos.items()}
            write_sheet(sheet, list(names), {name: data.__bytes__ for name, data in files.items()}, PAIRS, 0)
            write_pictures(sheet, read_key((sheet / "key.json").read_bytes()), photos)
        if not (sheet / "answers.txt").is_file():
            print(f"{sheet / 'sheet.html'} waits for its answers")
            continue
        pairs = read_key((sheet / "key.json").read_bytes())
        (result,) = count(pairs, read_answers((sheet / "answers.txt").read_text(), pairs))
        told = {"first": names[result.first], "second": names[result.second]}
        counts[other.name] = asdict(result) | told
    return {"preference": counts} if counts else {}


def write_pictures(sheet: Path, pairs: list[Pair], photos: Mapping[str, Pixels]) -> None:
    """The pairs of a sheet as pictures."""
    for start in range(0, len(pairs), ROWS):
        shown = pairs[start : start + ROWS]
        cells = [
            [
                photos[pair.picture],
                *(codec.load(Path(side) / f"{pair.picture}.png") for side in (pair.left, pair.right)),
            ]
            for pair in shown
        ]
        picture = contact_sheet(cells, [str(pair.number) for pair in shown], ("photograph", "left", "right"), CELL_PX)
        (sheet / f"pairs-{shown[0].number}.png").write_bytes(codec.encode(picture, "png"))
