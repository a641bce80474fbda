"""Zip and tar archives read in place: members are listed with what is known against them, and never extracted."""

import io
import struct
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from typing import IO, NamedTuple

from atelier.tasks.images.codec import BadImage
from atelier.tasks.storage import zip_reader
from atelier.tasks.storage.bounds import SourceLimits
from atelier.tasks.storage.location import DecompressedStream, file_stat, is_url, open_stream, read_range

COMPRESSION = {"tgz": "gzip", "tzst": "zstd"}  # of the tars that are read from their beginning
MAX_HEADER_BYTES = 2**20  # of one tar header: names, not pictures
_DAMAGE = (zip_reader.BadZipError, tarfile.TarError, struct.error, OSError, UnicodeDecodeError)


class Member(NamedTuple):
    """One file of an archive."""

    name: str  # as written in the archive
    size: int  # bytes, unpacked
    etag: str
    offset: int  # where its bytes begin in the unpacked tar stream; of a zip, where its header does
    problem: str  # why it cannot be read, "" when nothing is known


def list_members(spec: str, location: str, kind: str, bounds: SourceLimits) -> Iterator[Member]:
    """List the files of an archive ("zip", "tar", "tgz" or "tzst") in its order, links and devices with their problem.

    Raises:
        ValueError: the archive is damaged, or unpacks to unreasonably much.
    """
    total = 0
    try:
        allowed = max(bounds.free_bytes, int(bounds.max_ratio * file_stat(location).size))
        members = _zip_members(location) if kind == "zip" else _tar_members(location, kind)
        for count, member in enumerate(members, 1):
            total += member.size
            if count > bounds.max_members or total > allowed:
                raise ValueError(
                    f"source {spec} is refused: it holds more than {bounds.max_members:,} files or unpacks to more "
                    f"than {allowed:,} bytes"
                )
            yield member
    except _DAMAGE as error:
        raise ValueError(f"source {spec} is damaged or no {kind} archive: {error}") from error


def read_member(location: str, kind: str, name: str, offset: int, size: int, etag: str) -> bytes:
    """The bytes of a member, as `list_members` found it; a compressed tar is read fastest in its own order.

    Raises:
        BadImage: the archive is damaged, or no longer the one that was listed.
    """
    try:
        if kind == "zip":
            return zip_reader.read(location, offset, name, size, int(etag.removeprefix("crc32:"), 16))
        data = _read_packed(location, kind, offset, size) if kind in COMPRESSION else read_range(location, offset, size)
    except zip_reader.BadZipError as error:
        raise BadImage(f"damaged in its archive: {error}") from error
    if len(data) < size:
        raise BadImage("the archive ends in the middle of this member")
    return data


def _read_packed(location: str, kind: str, offset: int, size: int) -> bytes:
    """From a compressed tar, which a process keeps open, since it can only be read from its beginning."""
    # the modification time makes a replaced file another one
    stream = _open_packed(location, kind, "" if is_url(location) else file_stat(location).etag)
    try:
        stream.seek(offset)
        return stream.read(size)
    except OSError as error:
        _open_packed.cache_clear()
        raise BadImage(f"damaged in its archive: {error}") from error


@lru_cache(maxsize=4)
def _open_packed(location: str, kind: str, etag: str) -> DecompressedStream:
    return DecompressedStream(location, COMPRESSION[kind])


def _zip_members(location: str) -> Iterator[Member]:
    for name, size, crc, offset, problem in zip_reader.members(location):
        yield Member(name, size, f"crc32:{crc:08x}", offset, problem)


def _tar_members(location: str, kind: str) -> Iterator[Member]:
    file = DecompressedStream(location, COMPRESSION[kind]) if kind in COMPRESSION else open_stream(location)
    try:
        stream = _Bounded(file)
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            while (info := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # else every header is remembered
                if info.isdir():
                    continue
                problem = ""
                if not info.isreg():
                    problem = "a link or device in an archive"
                elif info.issparse():
                    problem = "stored sparsely in its archive"
                size = info.size if info.isreg() else 0
                yield Member(info.name, size, f"mtime:{info.mtime}", info.offset_data, problem)
            stream.seek(archive.offset)
            if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile ends silently at a header that it cannot read
                raise tarfile.ReadError(f"an unreadable header at byte {archive.offset:,}")
    finally:
        file.close()


class _Bounded(io.RawIOBase):
    """A tar stream from which only headers are read: one that claims to be huge is refused before memory is taken."""

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
