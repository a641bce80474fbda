"""Zip and tar archives read in place: members are listed with what is known against them, and never extracted."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple

from atelier.tasks.images import BadImage

MAX_MEMBERS = 5_000_000
MAX_RATIO = 200  # times a whole archive may grow when it is unpacked; pictures grow hardly at all
FREE_BYTES = 2**30  # what any archive may unpack to, whatever its ratio
MAX_HEADER_BYTES = 2**20  # of one tar header: names, not pictures
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,  # compressed in a way that Python does not know
    UnicodeDecodeError,
)


class Member(NamedTuple):
    """One file of an archive; members sort by their names."""

    name: str  # as written in the archive
    size: int  # bytes, unpacked
    etag: str
    offset: int  # where its bytes begin in the unpacked tar stream, 0 in a zip
    problem: str  # why it cannot be read, "" when nothing is known


def list_members(spec: str, path: Path, kind: str) -> Iterator[Member]:
    """List the files of an archive ("zip", "tar" or "tgz"), links and devices with their problem.

    Raises:
        ValueError: the archive is damaged, or unpacks to unreasonably much.
    """
    allowed = max(FREE_BYTES, MAX_RATIO * path.stat().st_size)
    total = 0
    try:
        members = _zip_members(path) if kind == "zip" else _tar_members(path, kind)
        for count, member in enumerate(members, 1):
            total += member.size
            if count > MAX_MEMBERS or total > allowed:
                raise ValueError(
                    f"source {spec} is refused: it holds more than {MAX_MEMBERS:,} files or unpacks to more than "
                    f"{allowed:,} bytes"
                )
            yield member
    except _DAMAGE as error:
        raise ValueError(f"source {spec} is damaged or no {kind} archive: {error}") from error


def read_zip(path: str, member: str, max_bytes: int) -> bytes:
    """The bytes of a zip's member.

    Raises:
        BadImage: it is damaged or larger than `max_bytes`.
    """
    try:
        # a member that grows past its declared size is cut there by zipfile, and its checksum fails
        with _open_zip(path, Path(path).stat().st_mtime_ns).open(member) as file:
            data = file.read(max_bytes + 1)
    except KeyError as error:
        raise BadImage("the archive no longer holds this member") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadImage(f"damaged in its archive: {error}") from error
    if len(data) > max_bytes:
        raise BadImage(f"the member unpacks to more bytes than the limit of {max_bytes:,}")
    return data


def read_tar(path: str, kind: str, offset: int, size: int) -> bytes:
    """The bytes of a member of a tar ("tar" or "tgz"); a tgz is read fastest in the order of the offsets.

    Raises:
        BadImage: the archive ends before the member does, or is damaged.
    """
    try:
        if kind == "tgz":
            data = _read_at(_open_tgz(path, Path(path).stat().st_mtime_ns), offset, size)
        else:
            with Path(path).open("rb") as file:
                data = _read_at(file, offset, size)
    except (zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise BadImage(f"damaged in its archive: {error}") from error
    if len(data) < size:
        raise BadImage("the archive ends in the middle of this member")
    return data


def _read_at(file: IO[bytes] | gzip.GzipFile, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


# A process keeps its archives open: opening a zip reads its whole directory, and a compressed tar can only be read
# from its beginning. The modification time makes a replaced archive another one.


@lru_cache(maxsize=4)
def _open_zip(path: str, mtime_ns: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


@lru_cache(maxsize=4)
def _open_tgz(path: str, mtime_ns: int) -> gzip.GzipFile:
    return gzip.GzipFile(path)


def _zip_members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            problem = ""
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                problem = "a link or device in an archive"
            elif info.flag_bits & 1:
                problem = "encrypted in its archive"
            yield Member(info.filename, info.file_size, f"crc32:{info.CRC:08x}", 0, problem)


def _tar_members(path: Path, kind: str) -> Iterator[Member]:
    with path.open("rb") as file:
        stream = _Bounded(gzip.GzipFile(fileobj=file) if kind == "tgz" else file)  # type: ignore[arg-type]
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


class _Bounded(io.RawIOBase):
    """A tar stream from which only headers are read: one that claims to be huge is refused before memory is taken."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self.file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()
