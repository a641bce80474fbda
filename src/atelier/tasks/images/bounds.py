"""Bounds on the structure of image files, checked before a decoder sees them.

Decoders handle each segment, chunk or scan in a moment. A file of a few megabytes can have millions.
"""

import re

from atelier.tasks.images.formats import Unreadable

MAX_SEGMENTS = 2000  # before a JPEG's first scan: usual files have ten, those with large previews hundreds
MAX_SEGMENT_BYTES = 2**24  # of them together
MAX_JUNK_BYTES = 2**16  # between them
MAX_SCANS = 100  # of one JPEG: each costs a pass over the whole picture; usual files have up to ten
MAX_SCAN_PIXELS = 4 * 10**9  # of all scans together
MAX_CHUNKS = 100_000  # of a PNG: usual files have one for each 8 KB or more
_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_AFTER_SCAN = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)  # the data of a scan has escapes and restarts
_SCAN, _END, _BARE = 0xDA, 0xD9, frozenset((0x01, 0xD8, *range(0xD0, 0xD8)))  # markers; bare ones have no length
_SCAN_MARKER = bytes((0xFF, _SCAN))
_BUSY = "it is made to keep a decoder busy"


def check_structure(data: bytes) -> None:
    """Check a JPEG or PNG. Raises `Unreadable` where it is above a bound; other files pass."""
    if data.startswith(b"\xff\xd8"):
        _check_segments(data)
    elif data.startswith(b"\x89PNG"):
        _check_chunks(data)


def check_scans(data: bytes, pixels: int) -> None:
    """Check the scans of a JPEG of so many pixels. Raises `Unreadable`."""
    most = min(MAX_SCANS, max(1, MAX_SCAN_PIXELS // max(1, pixels)))
    if data.count(_SCAN_MARKER) <= most:  # counts other data too, such as a film behind the picture
        return
    at = scans = 0
    while (found := _MARKER.search(data, at)) and found[1][0] != _END and scans <= most:
        at = found.end()
        if found[1][0] not in _BARE:
            at += int.from_bytes(data[at : at + 2])
        if found[1][0] == _SCAN:
            scans += 1
            after = _AFTER_SCAN.search(data, at)
            at = after.start() if after else len(data)
    if scans > most:
        raise Unreadable(f"the JPEG has more than {most} scans: {_BUSY}")


def _check_segments(data: bytes) -> None:
    at, segments, junk = 2, 0, 0
    while found := _MARKER.search(data, at):
        segments, junk = segments + 1, junk + found.end() - at - 2
        if segments > MAX_SEGMENTS or found.start() > MAX_SEGMENT_BYTES or junk > MAX_JUNK_BYTES:
            raise Unreadable(f"the JPEG has too many or too large segments before its picture: {_BUSY}")
        if found[1][0] in (_SCAN, _END):
            return
        at = found.end()
        if found[1][0] not in _BARE:
            at += int.from_bytes(data[at : at + 2])


def _check_chunks(data: bytes) -> None:
    at, chunks = 8, 0
    while at + 8 <= len(data):
        at, chunks = at + 12 + int.from_bytes(data[at : at + 4]), chunks + 1
        if chunks > MAX_CHUNKS:
            raise Unreadable(f"the PNG has more than {MAX_CHUNKS:,} chunks: {_BUSY}")
