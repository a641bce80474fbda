"""Writing TIFF files with pages of 1, 8 or 16 bits; Pillow writes no 16-bit colour.

Each page is one strip, compressed with Deflate (lossless, read by all current programs).
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from atelier.tasks.images.metadata import Metadata, exif_tags

_DEFLATE, _DIFFERENCES, _INCH, _UNASSOCIATED = 8, 2, 2, 2  # values of tags below
_PHOTOMETRIC = {"1": 1, "L": 1, "RGB": 2, "CMYK": 5}
_PREDICTOR, _INK_SET = 317, 332
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
    file = bytearray(b"II*\0\0\0\0\0")
    link = 4  # position of the next directory's offset
    for number, page in enumerate(pages):
        strip = _strip(page)
        if len(file) + len(strip) > _LARGEST:
            raise ValueError("the TIFF would have more than 4 GB: choose another format or a smaller size")
        tags = _directory(page, len(strip))
        if number == 0:
            for tag, value in exif_tags(metadata.exif).items():
                tags[tag] = value
            tags[TiffImagePlugin.XMP] = xmp
        if metadata.dpi:
            tags[TiffImagePlugin.X_RESOLUTION], tags[TiffImagePlugin.Y_RESOLUTION] = metadata.dpi
            tags[TiffImagePlugin.RESOLUTION_UNIT] = _INCH
        file += b"\0" * (len(file) % 2)
        struct.pack_into("<I", file, link, len(file))
        link = len(file) + 2 + 12 * len(tags)
        file += tags.tobytes(len(file)) + strip
    return bytes(file)


def _directory(page: Page, size: int) -> ImageFileDirectory_v2:
    height, width = page.samples.shape[:2]
    channels = page.samples.size // (height * width)
    bits = 1 if page.samples.dtype == np.bool_ else page.samples.itemsize * 8
    tags = ImageFileDirectory_v2(prefix=b"II")
    tags[TiffImagePlugin.IMAGEWIDTH] = width
    tags[TiffImagePlugin.IMAGELENGTH] = tags[TiffImagePlugin.ROWSPERSTRIP] = height
    tags[TiffImagePlugin.BITSPERSAMPLE] = (bits,) * channels
    tags[TiffImagePlugin.SAMPLESPERPIXEL] = channels
    tags[TiffImagePlugin.COMPRESSION] = _DEFLATE
    tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = _PHOTOMETRIC[page.mode]
    tags[TiffImagePlugin.STRIPOFFSETS] = 0  # Pillow adds the end of the directory
    tags[TiffImagePlugin.STRIPBYTECOUNTS] = size
    if bits > 1:
        tags[_PREDICTOR] = _DIFFERENCES
    if page.mode == "CMYK":
        tags[_INK_SET] = 1
    if page.alpha:
        tags[TiffImagePlugin.EXTRASAMPLES] = _UNASSOCIATED
    if page.profile:
        tags[TiffImagePlugin.ICCPROFILE] = page.profile
    return tags


def _strip(page: Page) -> bytes:
    """Compressed samples, as differences to the left neighbour (predictor 2)."""
    if page.samples.dtype == np.bool_:
        return zlib.compress(np.packbits(page.samples, axis=1).tobytes())
    differences = page.samples.copy()
    np.subtract(page.samples[:, 1:], page.samples[:, :-1], out=differences[:, 1:])
    return zlib.compress(differences.astype(differences.dtype.newbyteorder("<")).tobytes())
