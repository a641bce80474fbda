"""Reading PBM, PGM and PPM files of any depth.

Pillow cuts their 16-bit colour, and takes seconds a megapixel for some.
"""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier.tasks.images.formats import Unreadable
from atelier.tasks.images.page import Page

_SPACE = rb"(?:\s|#[^\n]*\n)+"
_HEAD = re.compile(rb"P([1-6])" + _SPACE + rb"(\d{1,9})" + _SPACE + rb"(\d{1,9})")
_MAXIMUM = re.compile(_SPACE + rb"(\d{1,5})")
_BILEVEL, _COLOUR, _PLAIN = (1, 4), (3, 6), (1, 2, 3)  # kinds: plain ones are written in decimal digits
_LONGEST_HEAD = 4096  # bytes, with comments


def is_pnm(data: bytes) -> bool:
    """Whether the file begins like one of these."""
    return _HEAD.match(data[:_LONGEST_HEAD]) is not None


class PnmReader:
    """The first picture of a file that `is_pnm`.

    Args:
        data: the file.

    Raises:
        Unreadable: its brightest value is not 1…65535.
    """

    def __init__(self, data: bytes) -> None:
        self.data, head = data, _HEAD.match(data[:_LONGEST_HEAD])
        assert head is not None
        self.kind, self.width, self.height = (int(part) for part in head.groups())
        self.white, end = 1, head.end()
        if self.kind not in _BILEVEL:
            found = _MAXIMUM.match(data[:_LONGEST_HEAD], end)
            if found is None or not 0 < int(found[1]) < 65536:
                raise Unreadable("its brightest value is not between 1 and 65,535")
            self.white, end = int(found[1]), found.end()
        self.start = end + (self.kind not in _PLAIN)

    def read(self) -> Page:
        """Decode the picture. Raises ValueError where samples are missing."""
        shape = (self.height, self.width, 3) if self.kind in _COLOUR else (self.height, self.width)
        if self.kind in _BILEVEL:
            return Page(~self._bits().astype(bool), "1", None, None)  # 1 is black
        samples = self._samples(int(np.prod(shape))).reshape(shape)
        whole = 255 if self.white < 256 else 65535
        if self.white != whole:
            scaled = (np.minimum(samples, self.white).astype(np.uint32) * whole + self.white // 2) // self.white
            samples = scaled.astype(samples.dtype)
        return Page(samples, "RGB" if len(shape) == 3 else "L", None, None)

    def _bits(self) -> NDArray[Any]:
        if self.kind in _PLAIN:  # digits, with or without space between
            digits = np.frombuffer(self._plain(), np.uint8)
            digits = digits[(digits == ord("0")) | (digits == ord("1"))][: self.height * self.width]
            return np.reshape(digits - ord("0"), (self.height, self.width))
        rows = (self.width + 7) // 8
        packed = np.frombuffer(self.data, np.uint8, self.height * rows, self.start).reshape(self.height, rows)
        return np.unpackbits(packed, axis=1)[:, : self.width]

    def _samples(self, count: int) -> NDArray[Any]:
        wide = self.white > 255
        if self.kind in _PLAIN:
            values = np.fromstring(self._plain().decode("latin-1"), dtype=np.int64, sep=" ")[:count]
            return np.clip(values, 0, self.white).astype(np.uint16 if wide else np.uint8)
        stored: NDArray[Any] = np.frombuffer(self.data, ">u2" if wide else np.uint8, count, self.start)
        return stored.astype(np.uint16 if wide else np.uint8)

    def _plain(self) -> bytes:
        """The samples in decimal digits, without comments."""
        return re.sub(rb"#[^\n]*", b"", self.data[self.start :])
