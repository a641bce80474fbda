"""Writing TIFF files with pages of 1, 8 or 16 bits; Pillow writes no 16-bit colour, and guesses types of EXIF tags.

Each page is one strip, compressed with Deflate (lossless, read by all current programs).
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from atelier.tasks.images import exif
from atelier.tasks.images.exif import LONG, RATIONAL, SHORT, UNDEFINED, Exif, Order, Value
from atelier.tasks.images.metadata import Metadata

_DEFLATE, _DIFFERENCES, _INCH, _UNASSOCIATED = 8, 2, 2, 2  # values of tags below
_PHOTOMETRIC = {"1": 1, "L": 1, "RGB": 2, "CMYK": 5}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _COLOURS, _STRIP = 256, 257, 258, 259, 262, 273  # tags
_SAMPLES, _STRIP_ROWS, _STRIP_BYTES, _UNIT = 277, 278, 279, 296
_RESOLUTION = (282, 283)  # across and down
_PREDICTOR, _INK_SET, _EXTRA_SAMPLES, _XMP, _PROFILE = 317, 332, 338, 700, 34675
_LARGEST = 2**32 - 2**20  # bytes, for offsets of 32 bits


@dataclass(frozen=True)
class Page:
    """One picture of a file."""

    samples: NDArray[np.bool_] | NDArray[np.uint8] | NDArray[np.uint16]  # (H, W) or (H, W, C), alpha last
    mode: str  # "1", "L", "RGB" or "CMYK"
    alpha: bool
    profile: bytes  # ICC, b"" for none


def encode(pages: Sequence[Page], metadata: Metadata, xmp: bytes) -> bytes:
    """A TIFF file; its first page has metadata and XMP packet. Raises ValueError where it would have more than 4 GB."""
    kept = exif.parse(metadata.exif)
    file = bytearray((b"II*" + bytes(5)) if kept.order == "<" else (b"MM\0*" + bytes(4)))
    link = 4  # position of the next directory's offset
    for number, page in enumerate(pages):
        strip = _strip(page, kept.order)
        if len(file) + len(strip) > _LARGEST:
            raise ValueError("the TIFF would have more than 4 GB: choose another format or a smaller size")
        described = kept if number == 0 else Exif(kept.order)
        tags = {**described.image, **_tags(page, len(strip), kept.order)}
        if number == 0:
            tags[_XMP] = Value(UNDEFINED, xmp)
        if metadata.dpi and not described.image.keys() & set(_RESOLUTION):
            tags |= {tag: _rational(value, kept.order) for tag, value in zip(_RESOLUTION, metadata.dpi, strict=True)}
            tags[_UNIT] = _value(SHORT, _INCH, kept.order)
        file += b"\0" * (len(file) % 2)
        struct.pack_into(f"{kept.order}I", file, link, len(file))
        link = len(file) + 2 + 12 * (len(tags) + bool(described.taking) + bool(described.place))
        file += _placed(replace(described, image=tags), len(file)) + strip
    return bytes(file)


def _placed(whole: Exif, at: int) -> bytes:
    """The directories of a page whose strip follows them."""
    size = len(exif.write_directories(whole, at))
    strip = _value(LONG, at + size, whole.order)
    return exif.write_directories(replace(whole, image={**whole.image, _STRIP: strip}), at)


def _tags(page: Page, size: int, order: Order) -> dict[int, Value]:
    height, width = page.samples.shape[:2]
    channels = page.samples.size // (height * width)
    bits = 1 if page.samples.dtype == np.bool_ else page.samples.itemsize * 8
    numbers = {
        **{_WIDTH: width, _HEIGHT: height, _STRIP_ROWS: height, _STRIP: 0, _STRIP_BYTES: size},
        **{_SAMPLES: channels, _COMPRESSION: _DEFLATE, _COLOURS: _PHOTOMETRIC[page.mode]},
    }
    if bits > 1:
        numbers[_PREDICTOR] = _DIFFERENCES
    if page.mode == "CMYK":
        numbers[_INK_SET] = 1
    if page.alpha:
        numbers[_EXTRA_SAMPLES] = _UNASSOCIATED
    long = (_STRIP, _STRIP_BYTES)
    tags = {tag: _value(LONG if tag in long or n > 0xFFFF else SHORT, n, order) for tag, n in numbers.items()}
    tags[_BITS] = Value(SHORT, struct.pack(f"{order}{channels}H", *[bits] * channels))
    if page.profile:
        tags[_PROFILE] = Value(UNDEFINED, page.profile)
    return tags


def _value(type: int, number: int, order: Order) -> Value:
    return Value(type, struct.pack(order + {SHORT: "H", LONG: "I"}[type], number))


def _rational(number: float, order: Order) -> Value:
    above, below = Fraction(number).limit_denominator(10_000).as_integer_ratio()
    return Value(RATIONAL, struct.pack(f"{order}II", above, below))


def _strip(page: Page, order: Order) -> bytes:
    """Compressed samples, as differences to the left neighbour (predictor 2)."""
    if page.samples.dtype == np.bool_:
        return zlib.compress(np.packbits(page.samples, axis=1).tobytes())
    differences = page.samples.copy()
    np.subtract(page.samples[:, 1:], page.samples[:, :-1], out=differences[:, 1:])
    return zlib.compress(differences.astype(differences.dtype.newbyteorder(order)).tobytes())
