"""The report of a bulk job, `_atelier/report.html`: pairs of pictures, counts, the slowest and quarantined inputs."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow.compute as pc
from markupsafe import Markup

from atelier.tasks.bulk.job import JobState
from atelier.tasks.bulk.messages import ENTRY_FIELDS
from atelier.tasks.images.codec import BadImage, ImageLimits
from atelier.tasks.reports.html_page import MACROS, data_uri, page, render
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.open_destination import open_destination
from atelier.tasks.video.still import shown_input, shown_output

PAIRS = 12
SHOWN_PX = 480  # width of a picture on the page
SLOWEST = 10
MAX_QUARANTINED = 200  # rows shown; quarantine.csv has them all


def pairs(tasks: Sequence[dict[str, Any]], destination: str, limits: ImageLimits) -> list[tuple[str, str, str]]:
    """Inputs and their outputs as data URIs, and their names; failed ones are left out. Runs on a worker node.

    Args:
        tasks: rows of `TASK_SCHEMA`, done or not.
        destination: of the job.
        limits: on an input.
    """
    found = []
    for task in tasks:
        try:
            before = shown_input(Entry(**{name: task[name] for name in ENTRY_FIELDS}), limits)
            after = shown_output(open_destination(destination), task["output"])
        except (BadImage, OSError):
            continue
        found.append((data_uri(before, SHOWN_PX), data_uri(after, SHOWN_PX), task["input"]))
    return found


def report(destination: str, summary: dict[str, Any], state: JobState, shown: Sequence[tuple[str, str, str]]) -> bytes:
    """The page, HTML.

    Args:
        destination: of the job.
        summary: content of `summary.json`.
        state: of the job after the run.
        shown: from `pairs`.
    """
    model = f"{summary['model']} {summary['version']}".strip()
    lead = render("job_report.html.j2", "lead", done=summary["done"], total=summary["total"], model=model)
    counts = {name: value for name, value in summary.items() if name not in ("model", "version")}
    hint = "From all parts of the job. Drag the line."
    sections = {
        "Before and after": render(MACROS, "before_and_after", pairs=shown, caption=hint),
        "How it ended": render(MACROS, "facts", known=counts),
        "The slowest": _slowest(state),
        "In quarantine": _quarantined(state),
    }
    return page(PurePosixPath(destination).name, model, lead, sections)


def _slowest(state: JobState) -> Markup:
    done = state.rows.filter(pc.equal(state.rows["state"], "done"))
    order = pc.select_k_unstable(done, SLOWEST, [("seconds", "descending")])
    found = done.take(order).select(["input", "seconds", "bytes"]).to_pylist()
    lines = [(row["input"], f"{row['seconds']:.2f} s", f"{row['bytes'] / 1000:,.0f} kB") for row in found]
    return render(MACROS, "text_table", head=("picture", "took", "output"), rows=lines) if lines else Markup()


def _quarantined(state: JobState) -> Markup:
    failed = state.rows.filter(pc.equal(state.rows["state"], "quarantined")).sort_by("input")
    found = failed.slice(0, MAX_QUARANTINED).select(["input", "stage", "reason"]).to_pylist()
    return render(
        MACROS,
        "quarantine",
        head=("picture", "at", "why"),
        rows=[tuple(row.values()) for row in found],
        hidden=failed.num_rows - len(found),
        file="quarantine.csv",
    )
