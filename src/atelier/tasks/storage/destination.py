"""The interface of destinations for outputs and job state: a local folder or an object store.

`commit` is the basis of exactly-once. A local file is written beside its target, with the attempt in its name,
synced and renamed; `sync` makes its name durable. At an object store the completed upload is the commit. In both cases
a name exists with its whole content or not at all.
"""

import errno
import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

TEMPORARY_PREFIX = ".atelier-"  # of names of temporary files; inputs with such names are hidden files
OUTSIDE = re.compile(
    r"^$|^/|^[A-Za-z]:([/\\\\]|$)|(^|[/\\\\])\.\.([/\\\\]|$)|\x00"
)  # names that are not below a destination; RE2 knows it too


def inside(name: str) -> str:
    """A name that stays below its destination. Raises OSError (EINVAL) for any other."""
    if OUTSIDE.search(name):
        raise OSError(errno.EINVAL, "the name does not stay below the destination", name)
    return name


class Destination(ABC):
    """A folder of files, which are named by relative paths. Errors are OSErrors.

    A name that leads out of the folder is refused everywhere with EINVAL, see `inside`; such a file has no size.
    """

    location: str  # path or URL

    def __str__(self) -> str:
        """Its location."""
        return self.location

    @abstractmethod
    def __truediv__(self, name: str) -> "Destination":
        """A folder below this one."""

    @abstractmethod
    def create(self) -> None:
        """Create it if needed, and check that it can be written."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names directly below, sorted; none where there is no folder."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a file. Raises FileNotFoundError where there is none."""

    @abstractmethod
    def sizes(self, names: Sequence[str]) -> list[int]:
        """Bytes of each file, -1 where there is none."""

    @abstractmethod
    def commit(self, name: str, data: Any, attempt: str) -> None:
        """Write a file, complete or not at all; `sync` makes its name durable.

        `attempt` is unique for each writer, so that two never share a temporary file.
        """

    @abstractmethod
    def sync(self, names: Iterable[str]) -> None:
        """Make the names of committed files durable."""

    @abstractmethod
    def write_unsynced(self, name: str, data: bytes) -> None:
        """Write a file that must survive a crash of the process, but not of the machine."""

    @abstractmethod
    def remove(self, names: Iterable[str]) -> None:
        """Remove files; missing ones are ignored."""

    @abstractmethod
    def remove_leftovers(self, folders: Iterable[str] | None = None) -> int:
        """Remove unfinished files of killed runs in these folders (None means all), and return their number."""

    @abstractmethod
    def free_bytes(self) -> int | None:
        """Free space, None where it is unknown."""

    @abstractmethod
    def lock(self, name: str) -> AbstractContextManager[Callable[[], bool]]:
        """Hold a lock; the block gets a check that it does. Raises BlockingIOError where another process has it."""

    def write(self, name: str, data: Any) -> None:
        """Write a file, complete or not at all; it is durable when this returns."""
        self.commit(name, data, uuid.uuid4().hex[:8])
        self.sync([name])
