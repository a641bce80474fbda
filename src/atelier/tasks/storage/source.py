"""A source: files in one place, listed without opening them and read one at a time.

`entries` names what a source holds; `read` fetches the bytes of one entry on any machine that sees the same files.
Nothing is extracted to disk and no link is followed out of the source. An entry that cannot be read safely is listed
with its problem.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar

from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.location import FileStat


class Source(ABC):
    """Files in one place. `open_source` finds the class for a path or URL."""

    kind: ClassVar[str]  # of its entries: `Entry.kind` names the class that reads them

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """Every file, in a fixed order; found while iterating.

        Raises:
            ValueError: the source is damaged or cannot be read.
        """

    @classmethod
    @abstractmethod
    def read(cls, entry: Entry, max_bytes: int) -> bytes:
        """The bytes of an entry of this kind.

        Raises:
            BadImage: it is damaged, or larger than `max_bytes`.
            OSError: it cannot be read.
        """

    @classmethod
    def bytes_before(cls, entry: Entry) -> int:
        """Bytes that have to be read before an entry of this kind: 0 where it can be read by its offset."""
        return 0

    @classmethod
    @abstractmethod
    def stamp(cls, entry: Entry, stat: Callable[[str], FileStat]) -> tuple[str, str]:
        """The name of the file that holds an entry, and a text that changes with its content, such as `stat` of it."""
