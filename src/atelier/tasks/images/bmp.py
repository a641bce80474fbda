"""Writing BMP files with transparency, which Pillow only reads."""

import struct

import numpy as np
from numpy.typing import NDArray

_HEAD, _INFO = 14, 108  # bytes of the file header, and of the image header, version 4
_BITFIELDS = 3
_MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)  # of red, green, blue and alpha
_SRGB = 0x73524742
_INCHES_PER_METRE = 39.37


def encode_with_alpha(rgba: NDArray[np.uint8], dpi: tuple[float, float]) -> bytes:
    """A BMP file of (H, W, 4) uint8 RGBA, tagged as sRGB. `dpi` is across and down."""
    height, width = rgba.shape[:2]
    across, down = (round(value * _INCHES_PER_METRE) for value in dpi)
    rows = np.ascontiguousarray(rgba[::-1, :, [2, 1, 0, 3]]).tobytes()  # from the bottom up, BGRA
    head = struct.pack("<2sIHHI", b"BM", _HEAD + _INFO + len(rows), 0, 0, _HEAD + _INFO)
    info = struct.pack("<IiiHHIIiiII", _INFO, width, height, 1, 32, _BITFIELDS, len(rows), across, down, 0, 0)
    colours = struct.pack("<5I48x", *_MASKS, _SRGB)  # without primaries and gamma: sRGB implies them
    return head + info + colours + rows
