"""Progress of long work, reported through a callback, a file or a stream."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from atelier.tasks.runtime.files import write

RECORDS = "ATELIER_RECORDS"  # set for a child whose parent reads progress and lines from its standard output
_RECORD = "\x1e"  # begins a line with JSON (RFC 7464)
_EVERY_S = 0.5


@dataclass(frozen=True)
class Progress:
    """One observation of a running stage."""

    stage: str  # "ingest", "augment", "train", "evaluate", "stylize", "pull"
    done: int  # finished units
    total: int  # all units, 0 while unknown
    unit: str  # what is counted: "images", "steps", "MB"
    note: str = ""  # beside the count, such as "content 1.32  style 0.45"
    images: int = 0  # processed so far, where the unit is another (a step takes a batch)


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """A callback that does nothing."""


def to_file(run: Path) -> Report:
    """A callback that writes progress into a run's folder, for `read_file` on any node."""
    last = [-_EVERY_S]

    def report(progress: Progress) -> None:
        now = time.monotonic()
        if now - last[0] >= _EVERY_S or progress.done >= progress.total:
            last[0] = now
            write(_file(run), json.dumps(asdict(progress)).encode())

    return report


def read_file(run: Path) -> Progress | None:
    """The progress that was written last; None where there is none."""
    try:
        return Progress(**json.loads(_file(run).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def clear_file(run: Path) -> None:
    """Remove the progress of an earlier run."""
    _file(run).unlink(missing_ok=True)


def _file(run: Path) -> Path:
    return run / "progress.json"


def to_parent(message: Progress | str) -> None:
    """Write progress, or a line for the user, on standard output, for `read_record` in the parent process."""
    content = asdict(message) if isinstance(message, Progress) else message
    sys.stdout.write(f"{_RECORD}{json.dumps(content)}\n")
    sys.stdout.flush()


def read_record(line: str) -> Progress | str | None:
    """The progress, or the line for the user, in a line of a child's output; None where it has none."""
    try:
        content = json.loads(line.removeprefix(_RECORD)) if line.startswith(_RECORD) else None
        return Progress(**content) if isinstance(content, dict) else content if isinstance(content, str) else None
    except (ValueError, TypeError):
        return None
