"""Crash marks: what the workers of a job have in hand, so that a crash leaves its suspects behind."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from atelier.tasks.storage.destination import Destination
from atelier.tasks.storage.open_destination import open_destination


class HasInput(Protocol):
    """What has an input's name."""

    @property
    def input(self) -> str: ...  # noqa: D102


I = TypeVar("I", bound=HasInput)  # noqa: E741
R = TypeVar("R")


class CrashMarkers:
    """Small files that say what the workers of a run have in hand, so that a crash leaves its suspects behind.

    A worker marks a block of inputs, and a block that is found marked went down with a worker: each of its inputs is
    then marked and worked on alone, and one that is found marked alone has been present at two deaths. A run begins by
    clearing all marks: a job that was stopped from outside says nothing against its pictures.
    """

    def __init__(self, folder: str | Path | Destination, stage: str = "decode") -> None:
        """Keep books in a folder, which is made when it is first written.

        Args:
            folder: where.
            stage: one of `STAGES`, the first that this worker takes inputs through.
        """
        self.folder, self.stage = open_destination(folder), stage
        self.alone = ""  # the input that is in hand alone, "" where it is a block

    def clear(self) -> None:
        """Forget all suspicion."""
        self.folder.remove(self.folder.names())

    def watched(
        self, items: Sequence[I], work: Callable[[list[I]], Iterable[R]], crashed: Callable[[I, str], R]
    ) -> Iterator[R]:
        """Work on a block of inputs, or, where a worker died that had it, on each of them alone.

        Args:
            items: of the block.
            work: what is done with them.
            crashed: what becomes instead of one that was in hand alone at a death, and of the stage it was at.
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
                    self.enter(item.input, self.stage)
                yield from [crashed(item, stage)] if stage else work([item])
                self.folder.remove([self._key_alone])
        self.folder.remove([block])

    def enter(self, name: str, stage: str) -> None:
        """Say that an input enters a stage, which matters where it is in hand alone."""
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
