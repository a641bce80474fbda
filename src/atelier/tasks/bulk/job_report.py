"""The report of a bulk job, `_atelier/report.html`: before and after, how it ended, the slowest, the quarantined."""

from collections.abc import Sequence
from html import escape
from pathlib import PurePosixPath
from typing import Any

import pyarrow.compute as pc

from atelier.tasks.bulk.job import JobState
from atelier.tasks.bulk.messages import ENTRY_FIELDS
from atelier.tasks.images.codec import BadImage, ImageLimits, decode
from atelier.tasks.reports.html_page import before_and_after, data_uri, facts, page, rows
from atelier.tasks.storage.open_destination import open_destination
from atelier.tasks.storage.source import Entry, read

PAIRS = 12
SHOWN_PX = 480  # width of a picture on the page
SLOWEST = 10
MOST_QUARANTINED = 200  # rows shown; quarantine.csv has them all


def pairs(tasks: Sequence[dict[str, Any]], destination: str, limits: ImageLimits) -> list[tuple[str, str]]:
    """Inputs and their outputs as data URIs; what failed is left out. Runs where stylists do.

    Args:
        tasks: rows of the schema `stylist.TASKS`, done or not.
        destination: the job's.
        limits: what an input may cost.
    """
    found = []
    for task in tasks:
        try:
            before = decode(read(Entry(**{name: task[name] for name in ENTRY_FIELDS}), limits.max_bytes), limits)
            after = decode(open_destination(destination).read(task["output"]))
        except (BadImage, OSError):
            continue
        found.append((data_uri(before, SHOWN_PX), data_uri(after, SHOWN_PX)))
    return found


def report(destination: str, summary: dict[str, Any], standing: JobState, shown: Sequence[tuple[str, str]]) -> bytes:
    """The page.

    Args:
        destination: the job's.
        summary: as `summary.json` holds it.
        standing: of the job after the run.
        shown: from `pairs`.
    """
    model = f"{summary['model']} {summary['version']}".strip()
    lead = f"<p>{summary['done']:,} of {summary['total']:,} pictures, restyled by <em>{escape(model)}</em>.</p>"
    sections = {
        "Before and after": before_and_after(shown, "From all parts of the job. Drag the line."),
        "How it ended": facts({name: value for name, value in summary.items() if name not in ("model", "version")}),
        "The slowest": _slowest(standing),
        "In quarantine": _quarantined(standing),
    }
    return page(PurePosixPath(destination).name, model, lead, sections)


def _slowest(standing: JobState) -> str:
    done = standing.rows.filter(pc.equal(standing.rows["state"], "done"))
    order = pc.select_k_unstable(done, SLOWEST, [("seconds", "descending")])
    found = done.take(order).select(["input", "seconds", "bytes"]).to_pylist()
    lines = [(row["input"], f"{row['seconds']:.2f} s", f"{row['bytes'] / 1000:,.0f} kB") for row in found]
    return rows(("picture", "took", "output"), lines) if lines else ""


def _quarantined(standing: JobState) -> str:
    failed = standing.rows.filter(pc.equal(standing.rows["state"], "quarantined")).sort_by("input")
    if not failed.num_rows:
        return '<p class="quiet">No picture is in quarantine.</p>'
    found = failed.slice(0, MOST_QUARANTINED).select(["input", "stage", "reason"]).to_pylist()
    hidden = failed.num_rows - len(found)
    more = f'<p class="quiet">… and {hidden:,} more in quarantine.csv.</p>' if hidden else ""
    return rows(("picture", "at", "why"), [tuple(row.values()) for row in found]) + more
