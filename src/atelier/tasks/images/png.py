"""PNG chunks with metadata, PNG files with 16-bit colour, which Pillow does not write, and small ones in a hurry."""

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier.tasks.images.metadata import Metadata

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = "XML:com.adobe.xmp"  # of the text chunk, from the XMP specification
COMPRESSION = 1  # zlib's fastest level: a third of the default's time for 6 % more bytes
_HEAD = len(SIGNATURE) + 25  # bytes of the signature and the header chunk
_COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}  # by number of channels: grey, grey and alpha, RGB, RGBA
_METRE_PER_INCH = 0.0254


def add_metadata(file: bytes, metadata: Metadata, xmp: bytes) -> bytes:
    """The PNG file with an sRGB tag, metadata and an XMP packet."""
    chunks = _chunk(b"sRGB", b"\0")  # rendering intent: perceptual
    if metadata.dpi:
        across, down = (round(value / _METRE_PER_INCH) for value in metadata.dpi)
        chunks += _chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    if metadata.exif:
        chunks += _chunk(b"eXIf", metadata.exif[6:])
    for keyword, text in {**metadata.texts, XMP_KEYWORD: xmp.decode()}.items():
        chunks += _chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8", "replace"))
    return file[:_HEAD] + chunks + file[_HEAD:]


def encode_sixteen_bit(samples: NDArray[np.uint16]) -> bytes:
    """A PNG file of 16-bit samples, (H, W) or (H, W, C): grey, grey and alpha, RGB or RGBA, by C."""
    return _encode(samples.astype(">u2"), zlib.Z_DEFAULT_STRATEGY)


def encode_quickly(samples: NDArray[np.uint8], xmp: bytes) -> bytes:
    """A PNG file of 8-bit samples (H, W, C) with an XMP packet, in half of Pillow's time, about as small.

    Differences of rows are compressed by Huffman codes and runs alone, without a search for what repeats.
    """
    return add_metadata(_encode(samples, zlib.Z_RLE), Metadata(), xmp)


def _encode(samples: NDArray[Any], strategy: int) -> bytes:
    """A PNG file of big-endian samples, (H, W) or (H, W, C)."""
    height, width = samples.shape[:2]
    channels = samples.size // (height * width)
    rows = np.ascontiguousarray(samples).reshape(height, -1).view(np.uint8)  # (H, bytes of a row)
    lines = np.empty((height, 1 + rows.shape[1]), dtype=np.uint8)
    lines[:, 0] = 2  # PNG filter type Up: differences to the line above
    lines[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
    depth = 8 * samples.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPE[channels], 0, 0, 0)
    compressor = zlib.compressobj(COMPRESSION, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, strategy)
    data = compressor.compress(lines.tobytes()) + compressor.flush()
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
