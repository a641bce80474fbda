"""Locks of a workspace: one process at a time does a piece of work."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from atelier.tasks.workspace.layout import Workspace

_WORK = {"night": "`atelier retrain`", "pipeline": "the pipeline", "registry": "a change of the registry"}  # by lock


@contextmanager
def lock(workspace: Workspace, name: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a lock (a stage, "pipeline" or "registry"), which ends with the process, even if that is killed.

    Raises:
        RuntimeError: another process still has it after `wait_s` seconds; the message names it.
    """
    workspace.locks.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    with (workspace.locks / f"{name}.lock").open("a+") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                file.seek(0)
                holder = file.read().strip() or "unknown"
                raise RuntimeError(
                    f"{_WORK.get(name, name)} is already running in {workspace.root} (process {holder}): wait for it, "
                    "or end it"
                ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
