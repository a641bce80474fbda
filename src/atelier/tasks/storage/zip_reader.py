"""Reading zip archives by byte ranges: the directory in pieces, and each member by its offset.

Python's `zipfile` keeps an object for every member, in every process: 600 MB and six seconds for a million. Here
nothing is kept, and a member of an archive at a URL costs one range request. The format is PKWARE's APPNOTE.TXT 6.3,
sections 4.3.7 to 4.3.16.
"""

import bz2
import re
import stat
import struct
import sys
import zlib
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from atelier.tasks.storage.location import file_stat, read_range

END = struct.Struct("<4s4H2LH")  # end of the directory: disks, counts, size, offset, length of the comment
END64 = struct.Struct("<4sQ2H2L4Q")  # the same with 64 bits
LOCATOR64 = struct.Struct("<4sLQL")  # where END64 is
ENTRY = struct.Struct("<4s6H3L5H2L")  # of the directory
LOCAL = struct.Struct("<4s5H3L2H")  # before a member's bytes
PIECE_BYTES = 4 * 2**20  # of the directory, read at once
MAX_COMMENT_BYTES = 2**16 - 1  # after the directory's end
FULL32 = 2**32 - 1
FULL_END = (2**16 - 1, FULL32, FULL32)  # values of an end record that END64 has instead
STORED, DEFLATED, BZIP2 = 0, 8, 12
ZIP64, UNICODE_PATH = 1, 0x7075  # extra fields
MAX_GAPS = 256  # between members that are read
MAX_GAP_BYTES = 2**18  # of a gap that are read


class BadZipError(Exception):
    """The archive is damaged or no zip; the message says how."""


def members(location: str) -> Iterator[tuple[str, int, int, int, str]]:
    """Name, unpacked size, CRC, offset of the local header and problem of every file.

    The directory is read to its end: the number of members that the archive says of itself may have wrapped, and is
    only compared. Raises BadZipError where the archive is damaged, or holds members that its directory does not name.
    """
    end = _directory(location)
    piece = _Pieces(location, end.offset + end.shift, end.size)
    places, packed_sizes = array("Q"), array("Q")
    wrapped = 0  # of offsets in archives above 4 GiB that programs without ZIP64 make
    while piece.rest and (head := piece.take(4)) != b"PK\5\5":  # a signature may follow the entries
        fields = ENTRY.unpack(head + piece.take(ENTRY.size - 4))
        if head != b"PK\1\2":
            raise BadZipError("its directory is damaged")
        flags, crc, packed, header = fields[3], fields[7], fields[8], fields[16]
        raw, extra = piece.take(fields[10]), piece.take(fields[11])
        piece.take(fields[12])  # the comment
        unpacked, packed, header = _wide(extra, (fields[9], packed, header))
        while end.wraps and read_range(location, header + wrapped, 4) != b"PK\3\4":
            wrapped += 2**32
            if wrapped > end.offset:
                raise BadZipError("its directory is damaged")
        header += wrapped
        places.append(min(header + end.shift, sys.maxsize))
        packed_sizes.append(min(LOCAL.size + len(raw) + packed, sys.maxsize))
        name, mode = _name(raw, flags, extra), stat.S_IFMT(fields[15] >> 16)
        if unpacked == 0 and (name.endswith(("/", "\\")) or mode == stat.S_IFDIR):
            continue
        problem = ""
        if mode not in (0, stat.S_IFREG):
            problem = "a link or device in an archive"
        elif flags & 1:
            problem = "encrypted in its archive"
        yield name, unpacked, crc, header + end.shift, problem
    if len(places) != end.count and (end.exact or len(places) % 2**16 != end.count):
        raise BadZipError(f"its end names {end.count:,} members, its directory {len(places):,}")
    _check_gaps(location, places, packed_sizes, end.offset + end.shift)


def read(location: str, offset: int, name: str, size: int, crc: int) -> bytes:
    """The bytes of the member whose local header is at `offset`, with the size and checksum of the directory.

    Raises:
        BadZipError: they do not match, or the compression method is not supported.
    """
    # the largest possible member, so that one range is enough: deflate stores what it cannot compress
    header = LOCAL.size + len(name.encode("utf-8", "surrogateescape")) + 1024
    data = read_range(location, offset, header + size + size // 1000)
    if len(data) < LOCAL.size or data[:4] != b"PK\3\4":
        raise BadZipError("no member begins at its place")
    method, name_length, extra_length = (LOCAL.unpack_from(data)[index] for index in (3, 9, 10))
    begin = LOCAL.size + name_length + extra_length
    if begin > header:
        data += read_range(location, offset + len(data), begin - header)
    if method not in (STORED, DEFLATED, BZIP2):
        raise BadZipError(f"compressed by method {method}, which is not read")
    try:
        content = _unpack(method, memoryview(data)[begin:], size)
    except (zlib.error, OSError, EOFError) as error:
        raise BadZipError(str(error)) from error
    if len(content) != size or zlib.crc32(content) != crc:
        raise BadZipError("its size or checksum is wrong")
    return content


def _unpack(method: int, data: memoryview, size: int) -> bytes:
    if method == STORED:
        return bytes(data[:size])
    if method == DEFLATED:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)  # one byte more, to detect a wrong size
    return bz2.BZ2Decompressor().decompress(data, size + 1)


@dataclass(frozen=True)
class _Directory:
    """Where the directory is."""

    count: int  # members
    size: int  # bytes
    offset: int
    shift: int  # of all offsets, by data before the archive
    exact: bool  # whether the count is not modulo 2**16
    wraps: bool  # whether offsets are modulo 2**32


def _directory(location: str) -> _Directory:
    """The directory, from the end record whose comment ends with the file, or else the last one.

    A member or a comment may hold another archive, with an end of its own. What is not clear is an error, because
    programs differ in what they show of such a file.
    """
    total = file_stat(location).size
    tail_at = max(0, total - END.size - MAX_COMMENT_BYTES - LOCATOR64.size)
    tail = read_range(location, tail_at, total - tail_at)
    places = [found.start() for found in re.finditer(b"PK\5\6", tail) if len(tail) >= found.start() + END.size]
    exact: list[_Directory] = []
    others: list[_Directory] = []  # bytes follow them
    problem = "it has no zip directory"
    for at in places:
        try:
            found = _directory_before(location, tail, at, tail_at)
        except BadZipError as error:
            problem = str(error)
        else:
            comment = END.unpack_from(tail, at)[-1]
            (exact if at + END.size + comment == len(tail) else others).append(found)
    if len(exact) > 1:
        raise BadZipError("it has several zip directories, and programs differ in which one they show")
    if not exact and not others:
        raise BadZipError(problem)
    return (exact or others)[-1]


def _directory_before(location: str, tail: bytes, at: int, tail_at: int) -> _Directory:
    """The directory of the end record at `at` of the tail."""
    _, disk, first_disk, _, count, size, offset, _ = END.unpack_from(tail, at)
    end, exact = tail_at + at, False
    locator = tail[max(0, at - LOCATOR64.size) : at]
    if locator[:4] == b"PK\6\7":
        _, _, end, disks = LOCATOR64.unpack(locator)
        record = read_range(location, end, END64.size)
        if record[:4] != b"PK\6\6":  # the place is wrong where data lies before the archive
            end = tail_at + at - LOCATOR64.size - END64.size
            record = read_range(location, end, END64.size) if end >= 0 else b""
        if len(record) < END64.size or record[:4] != b"PK\6\6":
            raise BadZipError("its 64-bit directory is damaged")
        wide = END64.unpack(record)[7:]
        if any(low not in (high, full) for low, high, full in zip((count, size, offset), wide, FULL_END, strict=True)):
            raise BadZipError("its two ends name different directories")
        (count, size, offset), exact = wide, True
        disk = 0 if disks <= 1 else disks
    if disk not in (0, 0xFFFF) or first_disk not in (0, 0xFFFF):
        raise BadZipError("it is a part of an archive of several files: join them first (zip -s 0)")
    shift = end - size - offset
    if shift < 0 or (size and read_range(location, end - size, 4) not in (b"PK\1\2", b"PK\5\5")):
        raise BadZipError("its directory is damaged")
    wraps = not exact and shift > 0 and shift % 2**32 == 0 and read_range(location, 0, 4) == b"PK\3\4"
    return _Directory(count, size, offset + shift if wraps else offset, 0 if wraps else shift, exact, wraps)


def _check_gaps(location: str, places: "array[int]", sizes: "array[int]", end: int) -> None:
    """Check that no member lies where the directory names none. Raises BadZipError.

    Extra fields and data descriptors lie there too. Of the gaps that a member fits into the largest are read.
    """
    begins = np.frombuffer(places, np.uint64).astype(np.float64)  # exact up to 2**53
    ends = begins + np.frombuffer(sizes, np.uint64)
    order = np.argsort(begins, kind="stable")
    before = np.concatenate([[0.0], np.maximum.accumulate(ends[order])])
    after = np.concatenate([begins[order], [float(end)]])
    largest = np.argsort(before - after)[:MAX_GAPS]
    for gap in largest[(after - before)[largest] > LOCAL.size].tolist():
        start = int(before[gap])
        data = read_range(location, start, min(int(after[gap]) - start, MAX_GAP_BYTES))
        # before the first member any data may lie, such as a program that unpacks the archive
        if data.startswith(b"PK\3\4") if gap == 0 else b"PK\3\4" in data:
            raise BadZipError(f"after byte {start:,} it holds a member that its directory does not name: pack it anew")


def _name(raw: bytes, flags: int, extra: bytes) -> str:
    """The name of a member, from UTF-8 where anything says so: the flag, Info-ZIP's field, or the bytes themselves.

    Other names are read as CP437, which the format prescribes.
    """
    if flags & 0x800:
        return raw.decode("utf-8", "surrogateescape")
    if raw.isascii():
        return raw.decode("ascii")
    field = _extra_field(extra, UNICODE_PATH)
    for name in (field[5:] if field[:5] == struct.pack("<BL", 1, zlib.crc32(raw)) else b"", raw):
        with suppress(UnicodeDecodeError):
            if name:
                return name.decode("utf-8")
    return raw.decode("cp437")


def _extra_field(extra: bytes, wanted: int) -> bytes:
    """The content of an extra field, b"" where there is none."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == wanted:
            return extra[at + 4 : at + 4 + length]
        at += 4 + length
    return b""


def _wide(extra: bytes, values: tuple[int, int, int]) -> tuple[int, int, int]:
    """Unpacked size, packed size and offset; from the ZIP64 extra field where they do not fit into 32 bits."""
    if FULL32 not in values:
        return values
    field = _extra_field(extra, ZIP64)
    found = iter(struct.unpack_from(f"<{len(field) // 8}Q", field))
    unpacked, packed, header = (next(found, value) if value == FULL32 else value for value in values)
    return unpacked, packed, header


class _Pieces:
    """A range of a file, taken in small parts, read in large ones."""

    def __init__(self, location: str, offset: int, size: int) -> None:
        self.location, self.offset, self.left = location, offset, size
        self.data: Any = b""
        self.at = 0

    @property
    def rest(self) -> int:
        """Bytes that are not taken yet."""
        return self.left + len(self.data) - self.at

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if self.at + size > len(self.data):
            more = min(PIECE_BYTES, self.left)
            self.data = self.data[self.at :] + read_range(self.location, self.offset, more)
            self.offset, self.left, self.at = self.offset + more, self.left - more, 0
        if self.at + size > len(self.data):
            raise BadZipError("its directory is cut")
        taken: bytes = self.data[self.at : self.at + size]
        self.at += size
        return taken
