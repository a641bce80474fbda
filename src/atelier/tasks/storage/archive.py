"""Zip and tar archives as sources: read in place, never extracted, with limits on what they may unpack to."""

import io
import struct
import tarfile
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import PurePosixPath
from typing import IO, ClassVar

from atelier.tasks.images.codec import BadImage
from atelier.tasks.storage import zip_reader
from atelier.tasks.storage.archive_member import Link, Member, linked_members
from atelier.tasks.storage.entry import Entry, name_problem, printable
from atelier.tasks.storage.location import DecompressedStream, FileStat, file_stat, is_url, open_stream, read_range
from atelier.tasks.storage.source import Source
from atelier.tasks.storage.source_limits import SourceLimits

MAX_HEADER_BYTES = 2**20  # of one tar header: names, not pictures
_NO_FILES = (b"D", b"V")  # GNU tar's list of a folder, and the label of a volume
_DAMAGE = (zip_reader.BadZipError, tarfile.TarError, struct.error, OSError, UnicodeDecodeError)


class Archive(Source):
    """An archive at a path or URL. Entries are in the archive's own order."""

    suffixes: ClassVar[tuple[str, ...]]  # of file names

    def __init__(self, spec: str, location: str, limits: SourceLimits) -> None:
        self.spec, self.location, self.limits = spec, location, limits

    @abstractmethod
    def members(self) -> Iterator[Member]:
        """The files of the archive, links and devices with their problem."""

    def entries(self) -> Iterator[Entry]:
        """All its files. Raises ValueError where it is damaged, or unpacks to more than the limits."""
        for member in self._limited():
            name = member.name.replace("\\", "/")  # some Windows programs write it so
            problem = member.problem or name_problem(name)
            yield Entry(
                name=printable(name) if problem else name,
                source=self.spec,
                size=member.size,
                etag=member.etag,
                kind=self.kind,
                path=self.location,
                member=member.name,
                offset=member.offset,
                problem=problem,
                skipped=member.skipped,
            )

    @classmethod
    def stamp(cls, entry: Entry, stat: Callable[[str], FileStat]) -> tuple[str, str]:
        """The archive's name, size and etag."""
        return PurePosixPath(entry.path).name, " ".join(map(str, stat(entry.path)))

    def _limited(self) -> Iterator[Member]:
        """The members, counted against the limits."""
        total, limits = 0, self.limits
        try:
            allowed = max(limits.free_bytes, int(limits.max_ratio * file_stat(self.location).size))
            for count, member in enumerate(self.members(), 1):
                total += member.size
                if count > limits.max_members or total > allowed:
                    raise ValueError(
                        f"source {self.spec} is refused: it holds more than {limits.max_members:,} files or unpacks to "
                        f"more than {allowed:,} bytes"
                    )
                yield member
        except _DAMAGE as error:
            raise ValueError(f"source {self.spec} is damaged or no {self.kind} archive: {error}") from error


class Zip(Archive):
    """A zip archive."""

    kind = "zip"
    suffixes = (".zip",)

    def members(self) -> Iterator[Member]:
        """From the archive's directory."""
        for name, size, crc, offset, problem in zip_reader.members(self.location):
            yield Member(name, size, f"crc32:{crc:08x}", offset, problem)

    @classmethod
    def read(cls, entry: Entry, max_bytes: int) -> bytes:
        """A member by its offset."""
        crc = int(entry.etag.removeprefix("crc32:"), 16)
        try:
            return zip_reader.read(entry.path, entry.offset, entry.member, entry.size, crc)
        except zip_reader.BadZipError as error:
            raise BadImage(f"damaged in its archive: {error}") from error


class Tar(Archive):
    """A tar archive."""

    kind = "tar"
    suffixes: ClassVar[tuple[str, ...]] = (".tar",)

    def members(self) -> Iterator[Member]:
        """From the headers, of which the archive has one for each member; links come last.

        A link is a file with the bytes of the member that it leads to: tar writes the second name of a file so.
        """
        links: list[Link] = []
        for info in self._headers():
            if info.islnk() or info.issym():
                links.append(Link(info.name, info.linkname, info.issym(), info.offset, f"mtime:{info.mtime}"))
                if len(links) > self.limits.max_members:
                    raise tarfile.ReadError(f"more than {self.limits.max_members:,} links")
            elif not info.isdir() and info.type not in _NO_FILES:
                yield Member(
                    info.name, info.size * info.isreg(), f"mtime:{info.mtime}", info.offset_data, _problem(info)
                )
        if links:
            yield from linked_members(links, self._headers())

    def _headers(self) -> Iterator[tarfile.TarInfo]:
        """All headers. Raises TarError where a header cannot be read, or the archive has no end."""
        with closing(self.stream()) as file:
            stream, at = _HeaderStream(file), 0
            while at >= 0:  # an archive may be appended to another one
                stream.seek(at)
                with tarfile.open(fileobj=stream, mode="r:") as archive:
                    while (info := archive.next()) is not None:
                        archive.members.clear()  # type: ignore[attr-defined]  # else every header is remembered
                        yield info
                    at = stream.end_of_zeros(archive.offset)

    def stream(self) -> IO[bytes] | DecompressedStream:
        """The tar from its beginning."""
        return open_stream(self.location)

    @classmethod
    def read(cls, entry: Entry, max_bytes: int) -> bytes:
        """A member by its offset."""
        return _whole(read_range(entry.path, entry.offset, entry.size), entry)


class CompressedTar(Tar):
    """A compressed tar archive; reading in its own order is fastest."""

    compression: ClassVar[str]

    def stream(self) -> DecompressedStream:
        """The tar from its beginning, decompressed."""
        return DecompressedStream(self.location, self.compression)

    @classmethod
    def read(cls, entry: Entry, max_bytes: int) -> bytes:
        """A member, from a stream that this process keeps open: it can only be read from its beginning."""
        # the modification time makes a replaced file another one
        etag = "" if is_url(entry.path) else file_stat(entry.path).etag
        stream = _open_compressed(entry.path, cls.compression, etag)
        try:
            stream.seek(entry.offset)
            return _whole(stream.read(entry.size), entry)
        except OSError as error:
            _open_compressed.cache_clear()
            raise BadImage(f"damaged in its archive: {error}") from error

    @classmethod
    def bytes_before(cls, entry: Entry) -> int:
        """All that is before it in the tar, decompressed."""
        return entry.offset


class GzipTar(CompressedTar):
    """A tar archive compressed with gzip."""

    kind = "tgz"
    suffixes = (".tgz", ".tar.gz")
    compression = "gzip"


class ZstdTar(CompressedTar):
    """A tar archive compressed with Zstandard."""

    kind = "tzst"
    suffixes = (".tzst", ".tar.zst")
    compression = "zstd"


@lru_cache(maxsize=4)
def _open_compressed(location: str, compression: str, etag: str) -> DecompressedStream:
    return DecompressedStream(location, compression)


def _whole(data: bytes, entry: Entry) -> bytes:
    if len(data) < entry.size:
        raise BadImage("the archive ends in the middle of this member")
    return data


def _problem(info: tarfile.TarInfo) -> str:
    if not info.isreg():
        return "a device or pipe in an archive"
    return "stored sparsely in its archive" if info.issparse() else ""


class _HeaderStream(io.RawIOBase):
    """A tar stream from which only headers are read: a huge header is refused before memory is allocated."""

    def __init__(self, file: IO[bytes] | DecompressedStream) -> None:
        self.file = file

    def end_of_zeros(self, offset: int) -> int:
        """The end of the zeros that end an archive, where another one begins; -1 at the end of the file.

        tarfile ends silently at a header that it cannot read, and where a file was cut between two members.
        """
        self.seek(offset)
        block = self.file.read(tarfile.BLOCKSIZE)
        if not block:
            raise tarfile.ReadError("it ends without an end mark, and is cut")
        if block.strip(b"\0"):
            raise tarfile.ReadError(f"an unreadable header at byte {offset:,}")
        while block and not block.strip(b"\0"):
            offset += len(block)
            block = self.file.read(tarfile.BLOCKSIZE)
        return offset if block else -1

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()
