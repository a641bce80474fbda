"""Deadlines of the steps of a picture: a worker whose step takes too long is killed, whether it computes or is stopped.

The crash markers find the picture, as after any crash. This module is also the program of the worker's watch: it adds
to a marker that the time was exceeded, and writes notes, beside the markers, of what a slow worker has in hand.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from atelier.tasks.runtime.process_watch import Operation, ProcessWatch, watch_parent
from atelier.tasks.storage.destination import Destination
from atelier.tasks.storage.local_folder import LocalFolder

MODULE = "atelier.tasks.bulk.deadlines"
NOTE_PREFIX = "note-"
SLOW_S = 20.0  # of work on a block, from which on there are notes
_NOTE_EVERY_S = 5.0
_WRITE_S = 10.0  # for a marker: the destination may be what hangs


class Note(NamedTuple):
    """What a slow worker says of itself."""

    finished: int  # steps that have ended
    held: tuple[tuple[str, str, int], ...]  # stage, input and seconds of each step that goes on

    @classmethod
    def read(cls, text: bytes) -> "Note":
        """A note from its file. Raises ValueError where it is not whole."""
        found = json.loads(text)
        return cls(found["finished"], tuple((stage, name, seconds) for stage, name, seconds in found["held"]))


@lru_cache(maxsize=1)
def watch_of(folder: str, timeout_s: float) -> ProcessWatch:
    """The watch of this process; `folder` has the crash markers."""
    return ProcessWatch(timeout_s, MODULE, folder)


def step_text(stage: str, key: str, names: Sequence[str]) -> str:
    """A step of some inputs as the text of an operation; `key` is the marker of an input that is processed alone."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{stage}\n{key}\n{names[0]}{more}"


class _Witness:
    """Writes notes and markers, in a thread: the watch must not wait for a destination that hangs."""

    def __init__(self, folder: str) -> None:
        self.folder, self.thread = folder, ThreadPoolExecutor(1)
        self.note, self.noted_at = f"{NOTE_PREFIX}{os.getppid()}-{os.getpid()}", 0.0
        self.writing: Future[None] | None = None

    def look(self, finished: int, operations: list[Operation]) -> None:
        """Note what a slow worker has in hand, and remove the note when it is not slow any more."""
        if self.writing and not self.writing.done():
            return
        now = time.monotonic()
        if not any(one.seconds > SLOW_S for one in operations):
            if self.noted_at:
                self.noted_at, self.writing = 0.0, self.thread.submit(self._remove)
        elif now - self.noted_at > _NOTE_EVERY_S:
            held = [(*one.text.split("\n", 2)[::2], round(one.seconds)) for one in operations if one.text]
            data = json.dumps({"finished": finished, "held": held}).encode()
            self.noted_at, self.writing = now, self.thread.submit(self._write, self.note, data)

    def late(self, operations: Iterable[Operation]) -> None:
        """Mark inputs that are processed alone: their time was exceeded."""
        with suppress(TimeoutError, OSError):
            for one in operations:
                stage, key, _ = one.text.split("\n", 2)
                if key:
                    self.thread.submit(self._write, key, f"{stage}\n{one.limit_s:.0f}".encode()).result(_WRITE_S)
            self.thread.submit(self._remove).result(_WRITE_S)

    @property
    def _destination(self) -> Destination:
        if "://" not in self.folder:
            return LocalFolder(Path(self.folder))
        from atelier.tasks.storage.object_store import ObjectStore  # large: most workers are never slow

        return ObjectStore(self.folder)

    def _write(self, name: str, data: bytes) -> None:
        self._destination.write_unsynced(name, data)

    def _remove(self) -> None:
        self._destination.remove([self.note])


if __name__ == "__main__":
    witness = _Witness(sys.argv[3])
    watch_parent(int(sys.argv[1]), float(sys.argv[2]), witness.look, witness.late)
    if witness.noted_at:
        with suppress(TimeoutError, OSError):
            witness.thread.submit(witness._remove).result(_WRITE_S)
    os._exit(0)  # without waiting for a thread that hangs
