"""The preview of a bulk job: a spread sample, painted in this process by each of several models or strengths.

Pictures are painted small. Of models that restore, enlarge or fill, which change fine detail, a window of each picture
is shown at full resolution.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.compute as pc
from markupsafe import Markup

from atelier.models.configs import config_class
from atelier.tasks.bulk.inputs import evenly_spaced, list_inputs
from atelier.tasks.bulk.messages import ENTRY_FIELDS
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.images import codec
from atelier.tasks.images.codec import ImageLimits, Pixels
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.images.detectors import found_mask
from atelier.tasks.images.resampling import enlarged
from atelier.tasks.inference.label_pictures import kinds_of
from atelier.tasks.reports.detail import detailed_window, window_around
from atelier.tasks.reports.html_page import MACROS, data_uri, page, render
from atelier.tasks.runtime.files import write
from atelier.tasks.storage.entry import Entry
from atelier.tasks.video.still import shown_input

LONGEST_PX = 640  # of a painted picture: strokes have the breadth there that large pictures are painted with
PAGE_PX = 560  # width of a picture on the page
CELL_PX = 256  # of the contact sheet
DETAIL_PX = 480  # side of a window at full resolution, of the outputs
REACH_PX = 128  # around such a window, which a model that restores sees too

Column = tuple[StylizeRequest, Callable[..., Pixels]]  # a job, and what paints as its models do


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
        lines = [f"{name} is not shown: {reason}" for name, reason in self.unreadable.items()]
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
    inputs = list_inputs(first.sources, first.base, first.selection)
    inputs = inputs.filter(pc.equal(inputs["skipped"], ""))
    pixels = min(request.config.max_pixels // request.scale**2 for request in requests)
    limits, columns = ImageLimits(first.config.max_bytes, pixels), _labels(requests)
    painters = [(request, _painter(request)) for request in requests]
    detail = any(map(_changes_detail, requests))
    rows, unreadable = dict[str, list[Pixels]](), dict[str, str]()
    for row in evenly_spaced(inputs, count).to_pylist():
        try:
            rows[row["input"]] = (_in_detail if detail else _as_a_whole)(_read(row, limits), painters)
        except ValueError as error:
            unreadable[row["input"]] = str(error)
    if not rows:
        raise ValueError(f"no picture of the sample can be read: {next(iter(unreadable.values()))}")
    made = Preview(folder / "index.html", folder / "sheet.png", len(rows), inputs.num_rows, columns, unreadable)
    files, cell_px = [PurePosixPath(name).name for name in rows], DETAIL_PX if detail else CELL_PX
    sheet = contact_sheet(list(rows.values()), files, ("photograph", *columns), cell_px)
    write(made.sheet, codec.encode(sheet, "png"))
    write(made.page, _page(made, rows, cell_px))
    return made


def _read(row: dict[str, Any], limits: ImageLimits) -> Pixels:
    """A picture of the listing. Raises BadImage."""
    return shown_input(Entry(**{field: row[field] for field in ENTRY_FIELDS}), limits)


def _painter(request: StylizeRequest) -> Callable[..., Pixels]:
    """Paints one picture as a job's models do, with what is found in it where that is removed."""
    from atelier.models import artifact  # PyTorch, which takes seconds to load
    from atelier.tasks.inference.backends import pixels_painter

    models = [artifact.load(step.model) for step in request.steps]
    return pixels_painter(*zip(models, request.controls(), strict=True))


def _as_a_whole(photo: Pixels, columns: Sequence[Column]) -> list[Pixels]:
    """A picture shrunk to `LONGEST_PX`, and what becomes of it in each column."""
    small = codec.scaled(photo, min(1.0, LONGEST_PX / max(photo.shape[:2])))
    return [small, *(paint(small) for _, paint in columns)]


def _in_detail(photo: Pixels, columns: Sequence[Column]) -> list[Pixels]:
    """A window of a picture at full resolution, and what becomes of it in each column, all of the same size."""
    largest, (height, width) = max(request.scale for request, _ in columns), photo.shape[:2]
    side = max(1, DETAIL_PX // largest)
    controls = [one for request, _ in columns for one in request.controls()]
    placed = [place for one in controls for place in (*one.boxes, one.insert) if place]
    found = found_mask(kinds_of(controls), photo)
    if placed:
        hole = placed[0].place(height, width)
        margin = max((side - max(part.stop - part.start for part in hole)) // 2, side // 8)
        window = window_around(hole, margin, height, width)
    else:
        window = detailed_window(found[..., None] if found.any() else photo, side)
    cells = [photo[window]]
    for request, paint in columns:
        around = slice(0, height), slice(0, width)
        if all(config_class(step.identity.method).restores for step in request.steps):  # by what is near
            around = window_around(window, REACH_PX, height, width)
        labels = [found] if kinds_of(request.controls()) else []
        painted, scale = paint(photo[around], *labels), request.scale
        within = (
            slice(scale * (part.start - outer.start), scale * (part.stop - outer.start))
            for part, outer in zip(window, around, strict=True)
        )
        cells.append(painted[tuple(within)])
    shape = largest * cells[0].shape[0], largest * cells[0].shape[1]
    return [enlarged(cell, shape) for cell in cells]


def _changes_detail(request: StylizeRequest) -> bool:
    """Whether a job does what is hardly seen in a picture that is shrunk: restores, enlarges or fills."""
    methods = [config_class(step.identity.method) for step in request.steps]
    return request.scale != 1 or any(method.restores or method.fills for method in methods)


def _labels(requests: Sequence[StylizeRequest]) -> tuple[str, ...]:
    """What tells the columns apart: models, and strengths where there are several."""
    names = [f"{one.model_name} {one.version}".strip() for one in requests]
    if len({one.config.strength for one in requests}) > 1:
        names = [f"{name} at {one.config.strength:g}" for name, one in zip(names, requests, strict=True)]
    return tuple(names)


def _page(made: Preview, rows: Mapping[str, Sequence[Pixels]], cell_px: int) -> bytes:
    """The page, HTML."""
    pairs = []
    for name, (photo, *variants) in rows.items():
        before = data_uri(photo, PAGE_PX)
        for column, variant in zip(made.columns, variants, strict=True):
            pairs.append((before, data_uri(variant, PAGE_PX), name if len(variants) == 1 else f"{name}, {column}"))
    how = "a window of each at full resolution, repaired," if cell_px == DETAIL_PX else "painted small"
    lead = render("preview.html.j2", "lead", shown=made.shown, total=made.total, columns=made.columns, how=how)
    sheet = data_uri(codec.decode(made.sheet.read_bytes()), cell_px * (2 + len(made.columns)))
    shown = render(MACROS, "figure", uri=sheet, caption="Each picture, and what becomes of it.")
    failed = list(made.unreadable.items())
    sections: dict[str, Markup] = {
        "Before and after": render(MACROS, "before_and_after", pairs=pairs, caption="Drag the line."),
        "All of them": shown,
        "Not readable": render(MACROS, "text_table", head=("picture", "why"), rows=failed) if failed else Markup(),
    }
    return page("Preview", "", lead, sections)
