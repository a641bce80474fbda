"""Crash markers: small files that name the inputs a worker holds, so that a crash can be traced to its input."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar

from atelier.tasks.bulk.deadlines import NOTE_PREFIX, Note, step_text, watch_of
from atelier.tasks.bulk.messages import JobSpec
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.runtime.process_watch import ProcessWatch
from atelier.tasks.storage.destination import Destination
from atelier.tasks.storage.open_destination import open_destination


class HasInput(Protocol):
    """An object that knows the name of its input."""

    @property
    def input(self) -> str: ...  # noqa: D102


FILE_BYTES = 2**24  # of a file: a unit of the deadlines

I = TypeVar("I", bound=HasInput)  # noqa: E741
R = TypeVar("R")


class CrashMarkers:
    """Markers of one stage in a folder of small files.

    A worker marks a block of inputs before it starts. A block that is found marked crashed its worker: then each of its
    inputs is marked and processed alone, and an input that is found marked alone has crashed two workers. A run begins
    by clearing all markers, because a job that was stopped from outside does not make its inputs suspect.
    """

    def __init__(self, folder: str | Path | Destination, stage: str = "decode", timeout_s: float = math.inf) -> None:
        """Use a folder, which is created by the first marker.

        Args:
            folder: of the markers.
            stage: first stage that this worker runs, one of `ledger.STAGES`.
            timeout_s: for a step of an input, see `step`.
        """
        self.folder, self.stage, self.timeout_s = open_destination(folder), stage, timeout_s
        self.alone = ""  # the input that is processed alone, "" during a block

    def clear(self) -> None:
        """Remove all markers."""
        self.folder.remove(self.folder.names())

    def look(self) -> tuple[set[str], dict[str, Note]]:
        """The names of all files in the folder, and what slow workers have in hand; none where it cannot be read."""
        names, notes = set[str](), dict[str, Note]()
        with suppress(OSError):
            names = set(self.folder.names())
            for name in names:
                if name.startswith(NOTE_PREFIX):
                    with suppress(OSError, ValueError):  # removed or half written
                        notes[name] = Note.read(self.folder.read(name))
        return names, notes

    def process(
        self, items: Sequence[I], work: Callable[[list[I]], Iterable[R]], crashed: Callable[[I, str, str], R]
    ) -> Iterator[R]:
        """Process a block of inputs, or each input alone if the block crashed a worker before.

        Args:
            items: the block.
            work: processes some of them.
            crashed: the result of an input that crashed two workers, given the input, the stage of the crash, and the
                seconds that it exceeded, "" if it took no longer.
        """
        with self._watch.operation("", math.inf):
            yield from self._process(items, work, crashed)

    def _process(
        self, items: Sequence[I], work: Callable[[list[I]], Iterable[R]], crashed: Callable[[I, str, str], R]
    ) -> Iterator[R]:
        self.alone = ""
        block = _key(self.stage, *sorted(item.input for item in items))
        if not self._read(block):
            self.folder.write_unsynced(block, b"taken")
            yield from work(list(items))
        else:
            for item in items:
                self.alone = item.input
                stage, _, exceeded = self._read(self._key_alone).partition("\n")
                if not stage:
                    self._enter(item.input, self.stage)
                yield from [crashed(item, stage, exceeded)] if stage else work([item])
                self.folder.remove([self._key_alone])
            self.alone = ""  # recording the results belongs to no input
        self.folder.remove([block])

    @contextmanager
    def step(self, stage: str, *names: str, factor: float = 1.0) -> Iterator[None]:
        """A step of some inputs: recorded if one is processed alone; the process is killed if it takes too long.

        Args:
            stage: one of `ledger.STAGES`.
            names: of the inputs.
            factor: on the timeout, at least 1 is taken.
        """
        for name in names:
            self._enter(name, stage)
        key = self._key_alone if self.alone in names else ""
        with self._watch.operation(step_text(stage, key, names), self.timeout_s * max(1.0, factor)):
            yield

    @property
    def _watch(self) -> ProcessWatch:
        return watch_of(self.folder.location, self.timeout_s)

    def _enter(self, name: str, stage: str) -> None:
        if name == self.alone:
            self.folder.write_unsynced(self._key_alone, stage.encode())

    @property
    def _key_alone(self) -> str:
        return _key("alone", self.stage, self.alone)

    def _read(self, key: str) -> str:
        try:
            return self.folder.read(key).decode()
        except FileNotFoundError:
            return ""


def markers_of(spec: JobSpec, stage: str = "decode") -> CrashMarkers:
    """The crash markers of a worker whose first stage is this one, and the deadlines of its steps."""
    folder = open_destination(spec.destination) / RESERVED / "inflight"
    return CrashMarkers(folder, stage, spec.config.picture_timeout_s)


def _key(*names: str) -> str:
    return hashlib.sha256("\n".join(names).encode("utf-8", "backslashreplace")).hexdigest()[:24]
