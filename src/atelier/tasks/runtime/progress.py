"""Progress of long work, reported through a callback, a file or a stream."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from atelier.tasks.runtime.files import write

RECORDS = "ATELIER_PROGRESS_RECORDS"  # set for a child whose parent reads its progress from standard output
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


def to_parent(progress: Progress) -> None:
    """A callback that writes progress on standard output, for `read_record` in the parent process."""
    sys.stdout.write(f"{_RECORD}{json.dumps(asdict(progress))}\n")
    sys.stdout.flush()


def read_record(line: str) -> Progress | None:
    """The progress in a line of a child's output; None where it has none."""
    try:
        return Progress(**json.loads(line.removeprefix(_RECORD))) if line.startswith(_RECORD) else None
    except (ValueError, TypeError):
        return None
