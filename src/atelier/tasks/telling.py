"""How a task on any node tells how far it is: in a file of its own folder, which the one that waits for it reads."""

import json
import time
from dataclasses import asdict
from pathlib import Path

from atelier.tasks.progress import Progress, Report
from atelier.tasks.whole_files import write

_EVERY_S = 0.5


def to(run: Path) -> Report:
    """A callback that leaves what it is told where `told` finds it."""
    last = [-_EVERY_S]

    def tell(progress: Progress) -> None:
        now = time.monotonic()
        if now - last[0] >= _EVERY_S or progress.done >= progress.total:
            last[0] = now
            write(_file(run), json.dumps(asdict(progress)).encode())

    return tell


def told(run: Path) -> Progress | None:
    """What was told last; None before anything was."""
    try:
        return Progress(**json.loads(_file(run).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def forget(run: Path) -> None:
    """Forget what an earlier run told."""
    _file(run).unlink(missing_ok=True)


def _file(run: Path) -> Path:
    return run / "progress.json"
