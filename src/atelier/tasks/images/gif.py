"""Writing GIF files with a palette for each frame and an XMP packet, which Pillow does not write."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

_TRANSPARENT = 255  # palette entry
_XMP = b"!\xff\x0bXMP DataXMP"
# the "magic trailer" of the XMP specification: a decoder without XMP reads the packet as blocks of given lengths, and
# from any of these bytes it gets to the end
_MAGIC_TRAILER = bytes([1, *range(255, -1, -1), 0])


@dataclass(frozen=True)
class GifFrame:
    """One frame."""

    pixels: NDArray[np.uint8]  # (H, W, 3)
    alpha: NDArray[Any] | None  # (H, W) 0…255; below 128 a pixel is transparent
    duration_ms: float  # stored in hundredths of a second


def encode(frames: Sequence[GifFrame], plays: int, comment: str, xmp: bytes) -> bytes:
    """A GIF file of frames of one size, shown `plays` times (0: for ever), with a comment ("": none) and an XMP packet.

    Raises:
        ValueError: a side is longer than 65,535 px.
    """
    height, width = frames[0].pixels.shape[:2]
    if max(height, width) > 65535:
        raise ValueError(f"a GIF is at most 65,535 px wide and high, not {width} × {height}")
    parts = [b"GIF89a", struct.pack("<HHBBB", width, height, 0x70, 0, 0)]  # no global palette
    if len(frames) > 1 and plays != 1:
        repeats = min(max(plays - 1, 0), 65535)
        parts.append(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", repeats) + b"\0")
    parts.append(_XMP + xmp + _MAGIC_TRAILER)
    if comment:
        parts.append(b"!\xfe" + _blocks(comment.encode("utf-8", "replace")))
    return b"".join([*parts, *(_frame(frame) for frame in frames), b";"])


def read_xmp(data: bytes) -> bytes | None:
    """The XMP packet of a GIF file, None when it carries none."""
    start = data.find(_XMP)
    end = data.find(_MAGIC_TRAILER, start)
    return data[start + len(_XMP) : end] if start >= 0 and end >= 0 else None


def _frame(frame: GifFrame) -> bytes:
    """Control block, palette and pixels of a frame. A transparent frame is cleared before the next."""
    drawn = Image.fromarray(frame.pixels).quantize(_TRANSPARENT)
    options: dict[str, Any] = {"disposal": 1}
    if frame.alpha is not None:
        indices = np.where(frame.alpha < 128, np.uint8(_TRANSPARENT), np.asarray(drawn))
        palette = (drawn.getpalette() or [])[: 3 * _TRANSPARENT]
        drawn = Image.fromarray(indices)
        drawn.putpalette(palette + [0] * (3 * 256 - len(palette)))
        options = {"disposal": 2, "transparency": _TRANSPARENT}
    duration = 10 * round(min(frame.duration_ms / 10, 65535))
    return b"".join(GifImagePlugin.getdata(drawn, include_color_table=True, duration=duration, **options))


def _blocks(data: bytes) -> bytes:
    """Data in sub-blocks of up to 255 bytes."""
    parts = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
