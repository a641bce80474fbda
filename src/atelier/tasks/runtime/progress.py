"""Progress: how long work tells the floor above how far it is, in its own process or through a file."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from atelier.tasks.runtime.files import write

_EVERY_S = 0.5


@dataclass(frozen=True)
class Progress:
    """One observation of a running stage. Rates and time left are derived by whoever shows it."""

    stage: str  # "ingest", "augment", "train", "evaluate", "stylize", "pull"
    done: int  # finished units
    total: int  # all units, 0 while unknown
    unit: str  # what is counted: "images", "steps", "MB"
    note: str = ""  # what a person wants to know beside the count, such as "content 1.32  style 0.45"
    images: int = 0  # pictures processed so far, where the unit is not pictures (a step handles a batch)


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report to nobody."""


def to_file(run: Path) -> Report:
    """A callback that writes progress into a run's folder, where `read_file` finds it on any node."""
    last = [-_EVERY_S]

    def report(progress: Progress) -> None:
        now = time.monotonic()
        if now - last[0] >= _EVERY_S or progress.done >= progress.total:
            last[0] = now
            write(_file(run), json.dumps(asdict(progress)).encode())

    return report


def read_file(run: Path) -> Progress | None:
    """What was written last; None before anything was."""
    try:
        return Progress(**json.loads(_file(run).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def clear_file(run: Path) -> None:
    """Remove what an earlier run wrote."""
    _file(run).unlink(missing_ok=True)


def _file(run: Path) -> Path:
    return run / "progress.json"
