"""Where a job puts its outputs and its books: a local folder or an object store, behind one small interface.

`commit` is what exactly-once rests on. A local file is written beside its target with the attempt in its name, synced
and renamed, and `sync` makes its name durable; at an object store the completed upload is the commit. Either way a
name is there with the whole content or not at all, and what was recorded after it can be believed.
"""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

TEMPORARY_PREFIX = ".atelier-"  # what the names of temporary files begin with; inputs with such names are hidden files


class Destination(ABC):
    """A folder of files, all named by paths relative to it. What fails raises an OSError."""

    location: str  # the path or URL, for messages and for workers

    def __str__(self) -> str:
        """As the user knows it."""
        return self.location

    @abstractmethod
    def __truediv__(self, name: str) -> "Destination":
        """A folder below this one."""

    @abstractmethod
    def create(self) -> None:
        """Make sure that it is there and can be written."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names directly below, sorted; none where the folder is not there."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a file. Raises FileNotFoundError where there is none."""

    @abstractmethod
    def sizes(self, names: Sequence[str]) -> list[int]:
        """Bytes of each file, -1 where there is none."""

    @abstractmethod
    def commit(self, name: str, data: Any, attempt: str) -> None:
        """Write a file, complete or not at all; `sync` makes its name durable. Two attempts never share a file."""

    @abstractmethod
    def sync(self, names: Iterable[str]) -> None:
        """Make the names of committed files durable."""

    @abstractmethod
    def write_unsynced(self, name: str, data: bytes) -> None:
        """Write a file that has to survive this process, but not this machine."""

    @abstractmethod
    def remove(self, names: Iterable[str]) -> None:
        """Remove files; nothing happens where there is none."""

    @abstractmethod
    def remove_leftovers(self, folders: Iterable[str] | None = None) -> int:
        """Remove what killed runs left unfinished, in these folders (all when None); returns how many files."""

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Space that is left, None where nobody can tell."""

    @abstractmethod
    def lock(self, name: str) -> AbstractContextManager[Callable[[], bool]]:
        """Hold a lock; what is yielded tells whether it is still held. Raises BlockingIOError where another has it."""

    def write(self, name: str, data: Any) -> None:
        """Write a file, durable when this returns, complete or not at all before."""
        self.commit(name, data, uuid.uuid4().hex[:8])
        self.sync([name])
