"""AVIF animations without the time of their making.

libavif writes the current time, in seconds, into the movie, its tracks and their media, so that two encodings of the
same frames differ. Stills have no such boxes. The boxes are those of ISO/IEC 14496-12, sections 8.2.2, 8.3.2 and 8.4.2.
"""

import struct

_PARENTS = (b"moov", b"trak", b"mdia")
_WITH_TIMES = (b"mvhd", b"tkhd", b"mdhd")
_HEAD, _LARGE_HEAD = 8, 16  # bytes of a box's size and type, with a size of 64 bits too
_VERSION_AND_FLAGS = 4  # bytes


def without_times(file: bytes) -> bytes:
    """The AVIF file with creation and modification times of 0. Its length and everything else stay."""
    made = bytearray(file)
    _clear_times(made, 0, len(made))
    return bytes(made)


def _clear_times(made: bytearray, start: int, end: int) -> None:
    """Clear the times of the boxes in bytes `start` to `end`."""
    while start + _HEAD <= end:
        size, kind = struct.unpack_from(">I4s", made, start)
        inside = start + _HEAD
        if size == 1:
            size, inside = struct.unpack_from(">Q", made, inside)[0], start + _LARGE_HEAD
        stop = start + size if size else end
        if kind in _PARENTS:
            _clear_times(made, inside, stop)
        elif kind in _WITH_TIMES:
            times = 2 * (8 if made[inside] else 4)  # two times, of 64 bits since version 1
            first = inside + _VERSION_AND_FLAGS
            made[first : first + times] = bytes(times)
        start = stop
