"""Crash markers: small files that name the inputs a worker holds, so that a crash can be traced to its input."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from atelier.tasks.storage.destination import Destination
from atelier.tasks.storage.open_destination import open_destination


class HasInput(Protocol):
    """An object that knows the name of its input."""

    @property
    def input(self) -> str: ...  # noqa: D102


I = TypeVar("I", bound=HasInput)  # noqa: E741
R = TypeVar("R")


class CrashMarkers:
    """Markers of one stage in a folder of small files.

    A worker marks a block of inputs before it starts. A block that is found marked crashed its worker: then each of its
    inputs is marked and processed alone, and an input that is found marked alone has crashed two workers. A run begins
    by clearing all markers, because a job that was stopped from outside does not make its inputs suspect.
    """

    def __init__(self, folder: str | Path | Destination, stage: str = "decode") -> None:
        """Use a folder, which is created by the first marker.

        Args:
            folder: of the markers.
            stage: first stage that this worker runs, one of `ledger.STAGES`.
        """
        self.folder, self.stage = open_destination(folder), stage
        self.alone = ""  # the input that is processed alone, "" during a block

    def clear(self) -> None:
        """Remove all markers."""
        self.folder.remove(self.folder.names())

    def process(
        self, items: Sequence[I], work: Callable[[list[I]], Iterable[R]], crashed: Callable[[I, str], R]
    ) -> Iterator[R]:
        """Process a block of inputs, or each input alone if the block crashed a worker before.

        Args:
            items: the block.
            work: processes some of them.
            crashed: the result of an input that crashed two workers, given the input and the stage of the crash.
        """
        self.alone = ""
        block = _key(self.stage, *sorted(item.input for item in items))
        if not self._read(block):
            self.folder.write_unsynced(block, b"taken")
            yield from work(list(items))
        else:
            for item in items:
                self.alone = item.input
                stage = self._read(self._key_alone)
                if not stage:
                    self.enter_stage(item.input, self.stage)
                yield from [crashed(item, stage)] if stage else work([item])
                self.folder.remove([self._key_alone])
        self.folder.remove([block])

    def enter_stage(self, name: str, stage: str) -> None:
        """Record the stage that an input reaches, if it is processed alone."""
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


def _key(*names: str) -> str:
    return hashlib.sha256("\n".join(names).encode("utf-8", "backslashreplace")).hexdigest()[:24]
