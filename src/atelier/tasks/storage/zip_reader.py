"""Reading zip archives by byte ranges: the directory in pieces, and each member by its offset.

Python's `zipfile` keeps an object for every member, in every process: 600 MB and six seconds for a million. Here
nothing is kept, and a member of an archive at a URL costs one range request. The format is PKWARE's APPNOTE.TXT 6.3,
sections 4.3.7 to 4.3.16.
"""

import bz2
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from atelier.tasks.storage.location import file_stat, read_range

END = struct.Struct("<4s4H2LH")  # end of the directory: disks, counts, size, offset, length of the comment
END64 = struct.Struct("<4sQ2H2L4Q")  # the same with 64 bits
LOCATOR64 = struct.Struct("<4sLQL")  # where END64 is
ENTRY = struct.Struct("<4s6H3L5H2L")  # of the directory
LOCAL = struct.Struct("<4s5H3L2H")  # before a member's bytes
PIECE_BYTES = 4 * 2**20  # of the directory, read at once
MAX_COMMENT_BYTES = 2**16 - 1  # after the directory's end
FULL32 = 2**32 - 1
STORED, DEFLATED, BZIP2 = 0, 8, 12


class BadZipError(Exception):
    """The archive is damaged or no zip; the message says how."""


def members(location: str) -> Iterator[tuple[str, int, int, int, str]]:
    """Name, unpacked size, CRC, offset of the local header and problem of every file. Raises BadZipError if damaged."""
    count, size, offset, shift = _directory(location)
    piece = _Pieces(location, offset + shift, size)
    for _ in range(count):
        fields = ENTRY.unpack(piece.take(ENTRY.size))
        if fields[0] != b"PK\1\2":
            raise BadZipError("its directory is damaged")
        flags, crc, unpacked, header = fields[3], fields[7], fields[9], fields[16]
        raw, extra = piece.take(fields[10]), piece.take(fields[11])
        piece.take(fields[12])  # the comment
        name = raw.decode("utf-8" if flags & 0x800 else "cp437", "surrogateescape").partition("\0")[0]
        unpacked, header = _wide(extra, (unpacked, fields[8], header))
        if name.endswith("/"):
            continue
        problem = ""
        if stat.S_IFMT(fields[15] >> 16) not in (0, stat.S_IFREG):
            problem = "a link or device in an archive"
        elif flags & 1:
            problem = "encrypted in its archive"
        yield name, unpacked, crc, header + shift, problem


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


def _directory(location: str) -> tuple[int, int, int, int]:
    """Number of members, size and offset of the directory, and the shift of all offsets by data before the archive."""
    total = file_stat(location).size
    tail_at = max(0, total - END.size - MAX_COMMENT_BYTES - LOCATOR64.size)
    tail = read_range(location, tail_at, total - tail_at)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + END.size:
        raise BadZipError("it has no zip directory")
    _, _, _, _, count, size, offset, _ = END.unpack_from(tail, at)
    end = tail_at + at
    locator = tail[max(0, at - LOCATOR64.size) : at]
    if locator[:4] == b"PK\6\7":
        end = LOCATOR64.unpack(locator)[2]
        record = read_range(location, end, END64.size)
        if len(record) < END64.size or record[:4] != b"PK\6\6":
            raise BadZipError("its 64-bit directory is damaged")
        count, size, offset = END64.unpack(record)[7:]
    shift = end - size - offset
    if shift < 0:
        raise BadZipError("its directory is damaged")
    return count, size, offset, shift


def _wide(extra: bytes, values: tuple[int, int, int]) -> tuple[int, int]:
    """Unpacked size and offset; from the ZIP64 extra field where they do not fit into 32 bits."""
    unpacked, packed, header = values
    if FULL32 not in values:
        return unpacked, header
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            found = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            if unpacked == FULL32:
                unpacked = next(found, unpacked)
            if packed == FULL32:
                next(found, None)
            return unpacked, next(found, header) if header == FULL32 else header
        at += 4 + length
    return unpacked, header


class _Pieces:
    """A range of a file, taken in small parts, read in large ones."""

    def __init__(self, location: str, offset: int, size: int) -> None:
        self.location, self.offset, self.left = location, offset, size
        self.data: Any = b""
        self.at = 0

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
