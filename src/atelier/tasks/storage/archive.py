"""Zip and tar archives as sources: read in place, never extracted, with limits on what they may unpack to."""

import io
import struct
import tarfile
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import PurePosixPath
from typing import IO, ClassVar, NamedTuple

from atelier.tasks.images.codec import BadImage
from atelier.tasks.storage import zip_reader
from atelier.tasks.storage.entry import Entry, is_hidden, name_problem, printable
from atelier.tasks.storage.location import DecompressedStream, FileStat, file_stat, is_url, open_stream, read_range
from atelier.tasks.storage.source import Source
from atelier.tasks.storage.source_limits import SourceLimits

MAX_HEADER_BYTES = 2**20  # of one tar header: names, not pictures
_DAMAGE = (zip_reader.BadZipError, tarfile.TarError, struct.error, OSError, UnicodeDecodeError)


class Member(NamedTuple):
    """One file of an archive."""

    name: str  # as written in the archive
    size: int  # bytes, unpacked
    etag: str
    offset: int  # of its bytes in the unpacked tar stream; of its header in a zip
    problem: str  # why it cannot be read, "" when nothing is known


class Archive(Source):
    """An archive at a path or URL. Entries are in the archive's own order."""

    suffixes: ClassVar[tuple[str, ...]]  # of file names

    def __init__(self, spec: str, location: str, limits: SourceLimits) -> None:
        self.spec, self.location, self.limits = spec, location, limits

    @abstractmethod
    def members(self) -> Iterator[Member]:
        """The files of the archive, links and devices with their problem."""

    def entries(self) -> Iterator[Entry]:
        """Its files without hidden ones. Raises ValueError where it is damaged, or unpacks to more than the limits."""
        seen: set[str] = set()
        for member in self._limited():
            name = member.name.replace("\\", "/")  # some Windows programs write it so
            if any(is_hidden(part) for part in name.split("/")):
                continue
            problem = member.problem or name_problem(name)
            if not problem and name in seen:
                problem = "another member of the archive has the same name"
            seen.add(name)
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
        """From the headers, of which the archive has one for each member."""
        with closing(self.stream()) as file:
            stream = _HeaderStream(file)
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                while (info := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # else every header is remembered
                    if not info.isdir():
                        size = info.size if info.isreg() else 0
                        yield Member(info.name, size, f"mtime:{info.mtime}", info.offset_data, _member_problem(info))
                stream.seek(archive.offset)
                if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile ends silently at a header it cannot read
                    raise tarfile.ReadError(f"an unreadable header at byte {archive.offset:,}")

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


def _member_problem(info: tarfile.TarInfo) -> str:
    if not info.isreg():
        return "a link or device in an archive"
    return "stored sparsely in its archive" if info.issparse() else ""


class _HeaderStream(io.RawIOBase):
    """A tar stream from which only headers are read: a huge header is refused before memory is allocated."""

    def __init__(self, file: IO[bytes] | DecompressedStream) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()
