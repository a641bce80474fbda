"""The preview of a bulk job: a spread sample, painted small in this process by each of several models or strengths."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.compute as pc
from markupsafe import Markup

from atelier.tasks.bulk.inputs import evenly_spaced, list_inputs
from atelier.tasks.bulk.messages import ENTRY_FIELDS
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.images import codec
from atelier.tasks.images.codec import BadImage, ImageLimits, Pixels
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.reports.html_page import MACROS, data_uri, page, render
from atelier.tasks.runtime.files import write
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.open_source import read

LONGEST_PX = 640  # of a painted picture: strokes have the breadth there that large pictures are painted with
PAGE_PX = 560  # width of a picture on the page
CELL_PX = 256  # of the contact sheet


@dataclass(frozen=True)
class Preview:
    """A preview that was written."""

    page: Path  # HTML, with a slider over each picture
    sheet: Path  # PNG: a row for each picture, a column for each model or strength
    shown: int  # pictures
    total: int  # pictures of the sources
    columns: tuple[str, ...]
    unreadable: dict[str, str]  # pictures of the sample that cannot be read, and why

    @property
    def summary(self) -> str:
        """The result in a few lines."""
        lines = [f"{name} cannot be read: {reason}" for name, reason in self.unreadable.items()]
        painted = f"{self.shown} of {self.total} pictures by {', '.join(self.columns)}"
        return "\n".join([painted, *lines, f"page: {self.page}", f"sheet: {self.sheet}; nothing else was written"])


def preview(requests: Sequence[StylizeRequest], count: int, folder: Path) -> Preview:
    """Paint a sample of the sources, and write `index.html` and `sheet.png` into a folder.

    Args:
        requests: jobs on the same sources, a column each; their destinations are not touched.
        count: pictures of the sample, at equal distances in the listing.

    Raises:
        FileNotFoundError, ValueError: as `stylize`; a job uses label pictures; or no picture can be read.
    """
    first = requests[0]
    if first.config.mask_from or first.config.keep_from:
        raise ValueError("--preview shows no label pictures: leave out --mask-from and --keep-from, or use --limit")
    if any(controls.in_pixels for request in requests for controls in request.controls()):
        raise ValueError("--preview shows pictures smaller: give boxes, places and scales in percent, or use --limit")
    inputs = list_inputs(first.sources, first.base, first.selection)
    inputs = inputs.filter(pc.equal(inputs["skipped"], ""))
    limits = ImageLimits(first.config.max_bytes, first.config.max_pixels)
    photos, unreadable = _read(evenly_spaced(inputs, count).to_pylist(), limits)
    if not photos:
        raise ValueError(f"no picture of the sample can be read: {next(iter(unreadable.values()))}")
    columns = _labels(requests)
    painted = [list(_painted(request, list(photos.values()))) for request in requests]  # a list for each column
    rows = [list(row) for row in zip(photos.values(), *painted, strict=True)]
    made = Preview(folder / "index.html", folder / "sheet.png", len(photos), inputs.num_rows, columns, unreadable)
    files = [PurePosixPath(name).name for name in photos]
    write(made.sheet, codec.encode(contact_sheet(rows, files, ("photograph", *columns), CELL_PX), "png"))
    write(made.page, _page(made, list(photos), rows))
    return made


def _read(rows: Sequence[dict[str, Any]], limits: ImageLimits) -> tuple[dict[str, Pixels], dict[str, str]]:
    """Pictures by name, shrunk to `LONGEST_PX`, and the reasons of those that cannot be read."""
    photos, unreadable = dict[str, Pixels](), dict[str, str]()
    for row in rows:
        name = row["input"]
        try:
            pixels = codec.decode(
                read(Entry(**{field: row[field] for field in ENTRY_FIELDS}), limits.max_bytes), limits
            )
        except BadImage as error:
            unreadable[name] = str(error)
            continue
        photos[name] = codec.scaled(pixels, min(1.0, LONGEST_PX / max(pixels.shape[:2])))
    return photos, unreadable


def _painted(request: StylizeRequest, photos: Sequence[Pixels]) -> Iterator[Pixels]:
    """The pictures as a job's models paint them."""
    from atelier.models import artifact  # PyTorch, which takes seconds to load
    from atelier.tasks.inference.backends import pixels_painter

    models = [artifact.load(step.model) for step in request.steps]
    return map(pixels_painter(*zip(models, request.controls(), strict=True)), photos)


def _labels(requests: Sequence[StylizeRequest]) -> tuple[str, ...]:
    """What tells the columns apart: models, and strengths where there are several."""
    names = [f"{one.model_name} {one.version}".strip() for one in requests]
    if len({one.config.strength for one in requests}) > 1:
        names = [f"{name} at {one.config.strength:g}" for name, one in zip(names, requests, strict=True)]
    return tuple(names)


def _page(made: Preview, names: Sequence[str], rows: Sequence[Sequence[Pixels]]) -> bytes:
    """The page, HTML."""
    pairs = []
    for name, (photo, *variants) in zip(names, rows, strict=True):
        before = data_uri(photo, PAGE_PX)
        for column, variant in zip(made.columns, variants, strict=True):
            pairs.append((before, data_uri(variant, PAGE_PX), name if len(variants) == 1 else f"{name}, {column}"))
    lead = render("preview.html.j2", "lead", shown=made.shown, total=made.total, columns=made.columns)
    sheet = data_uri(codec.decode(made.sheet.read_bytes()), CELL_PX * (2 + len(made.columns)))
    shown = render(MACROS, "figure", uri=sheet, caption="Each picture, and what becomes of it.")
    failed = list(made.unreadable.items())
    sections: dict[str, Markup] = {
        "Before and after": render(MACROS, "before_and_after", pairs=pairs, caption="Drag the line."),
        "All of them": shown,
        "Not readable": render(MACROS, "text_table", head=("picture", "why"), rows=failed) if failed else Markup(),
    }
    return page("Preview", "", lead, sections)
