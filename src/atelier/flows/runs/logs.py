"""Logs of commands: what Prefect, DVC, Ray and other libraries write while a command works, one file a run.

A log lies in `.atelier/logs/` of the workspace, or in the folder of the control plane where a command has none. Its
process holds a lock on it, so that a reader knows when nothing more comes.
"""

import contextlib
import fcntl
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from atelier.flows.control_plane.prefect_server import home
from atelier.tasks.workspace.layout import Workspace

KEPT = 100  # logs in a folder; older ones are deleted
_POLL_S = 0.2


def logs_folder(workspace: Workspace | None) -> Path:
    """The folder of a workspace's logs; None: of commands without a workspace."""
    return workspace.logs if workspace else home() / "logs"


@contextlib.contextmanager
def new_log(folder: Path, name: str) -> Iterator[BinaryIO]:
    """A new log, like `20261129-020000-retrain.log`, locked until the block ends."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in list_logs(folder)[: 1 - KEPT]:
        old.unlink(missing_ok=True)
    began = datetime.now()
    while True:
        try:
            file = (folder / f"{began:%Y%m%d-%H%M%S}-{name}.log").open("xb", buffering=0)
            break
        except FileExistsError:  # of another run in the same second
            began += timedelta(seconds=1)
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def list_logs(folder: Path) -> list[Path]:
    """The logs in a folder, the oldest first."""
    return sorted(folder.glob("*.log"))


def find_log(folder: Path, run: str) -> Path:
    """The newest log of a run: its name, the beginning of it, or that of its command; "" for the newest of all.

    Raises:
        FileNotFoundError: there is none.
    """
    logs = list_logs(folder)
    if found := [log for log in logs if log.stem.startswith(run) or log.stem.endswith(f"-{run}")]:
        return found[-1]
    known = f"; there are {', '.join(log.stem for log in logs[-5:])}" if logs else ""
    raise FileNotFoundError(f"no log {f'of {run!r} ' if run else ''}in {folder}{known}")


def read_log(log: Path, follow: bool) -> Iterator[str]:
    """The text of a log, in pieces; `follow` waits for more until the run has ended."""
    with log.open(encoding="utf-8", errors="replace") as file:
        while True:
            ended = not follow or _has_ended(log)  # asked before the rest is read
            yield file.read()
            if ended:
                return
            time.sleep(_POLL_S)


def _has_ended(log: Path) -> bool:
    """Whether no process holds the lock of a log."""
    with log.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
