"""ICC matrix profiles, such as Adobe RGB and ProPhoto, for 16-bit samples; Pillow's littlecms converts only 8 bits.

A matrix profile has a tone curve for each channel and a matrix to the profile connection space (ICC.1:2010, 8.3 and
10). Profiles with lookup tables are not supported: `has_tables` finds them.
"""

import struct
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# red, green and blue of sRGB in the connection space (D50), as columns
_SRGB = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
_LEVELS = np.arange(65536) / 65535
_PARAMETERS = (1, 3, 4, 5, 7)  # number of parameters of a parametric curve, by type


def to_srgb(samples: NDArray[np.uint16], profile: bytes | None) -> NDArray[np.float32]:
    """16-bit samples, (H, W) grey or (H, W, 3) RGB, to gamma-encoded sRGB of the same shape, in [0, 1].

    Without a usable ICC profile they are assumed to be sRGB.
    """
    curves = _curves(profile, samples.ndim == 3) if profile else None
    if curves is None:
        return np.asarray(samples / np.float32(65535), dtype=np.float32)
    tables, matrix = curves
    if samples.ndim == 2:
        return _encoded(tables[0][samples])
    linear = np.stack([table[samples[..., channel]] for channel, table in enumerate(tables)], axis=-1)  # (H, W, 3)
    return _encoded(linear @ matrix.T)


def has_tables(profile: bytes | None) -> bool:
    """Whether the ICC profile is made of lookup tables, so that `to_srgb` would take its colours for sRGB."""
    try:
        return profile is not None and profile[20:24] in (b"XYZ ", b"Lab ") and b"A2B0" in _tags(profile)
    except struct.error:
        return False


def _encoded(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear light to sRGB's tone curve (IEC 61966-2-1)."""
    linear = np.clip(linear, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** np.float32(1 / 2.4) - 0.055)
    return np.asarray(shown, dtype=np.float32)


@lru_cache(maxsize=16)
def _curves(profile: bytes, colour: bool) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]] | None:
    """Linear light of the 65536 levels of each channel, and the matrix to sRGB; None for other profiles."""
    try:
        if profile[16:20] != (b"RGB " if colour else b"GRAY") or profile[20:24] != b"XYZ ":
            return None
        tags = _tags(profile)
        with np.errstate(all="ignore"):  # NaN and Inf are checked below
            tables = [_curve(tags[name + b"TRC"]) for name in ((b"r", b"g", b"b") if colour else (b"k",))]
        matrix = np.eye(3)
        if colour:
            primaries = np.stack([_fixed(tags[name + b"XYZ"], 8, 3) for name in (b"r", b"g", b"b")], axis=1)
            matrix = np.linalg.inv(_SRGB) @ primaries
    except (struct.error, KeyError, ValueError, IndexError):
        return None
    if not all(np.isfinite(table).all() for table in (*tables, matrix)):
        return None
    return [table.astype(np.float32) for table in tables], matrix.astype(np.float32)


def _tags(profile: bytes) -> dict[bytes, bytes]:
    count = min(struct.unpack_from(">I", profile, 128)[0], 100)
    entries = (struct.unpack_from(">4sII", profile, 132 + 12 * n) for n in range(count))
    return {name: profile[offset : offset + size] for name, offset, size in entries}


def _curve(tag: bytes) -> NDArray[np.float64]:
    """Linear light of each level."""
    if tag[:4] == b"curv":
        points = np.frombuffer(tag, ">u2", struct.unpack_from(">I", tag, 8)[0], 12)
        if len(points) == 1:
            return np.asarray(_LEVELS ** (points[0] / 256))
        return np.interp(_LEVELS, np.linspace(0, 1, len(points)), points / 65535) if len(points) else _LEVELS
    if tag[:4] != b"para":
        raise ValueError("a curve of an unknown kind")
    kind = struct.unpack_from(">H", tag, 8)[0]
    gamma, a, b, c, d, e, f = (*_fixed(tag, 12, _PARAMETERS[kind]), 0, 0, 0, 0, 0, 0)[:7]
    if kind == 0:
        return np.asarray(_LEVELS**gamma)
    if kind in (1, 2):  # from where a x + b is 0; c is an offset
        return np.asarray(np.maximum(a * _LEVELS + b, 0) ** gamma + (c if kind == 2 else 0))
    return np.asarray(np.where(d <= _LEVELS, np.maximum(a * _LEVELS + b, 0) ** gamma + e, c * _LEVELS + f))


def _fixed(tag: bytes, at: int, count: int) -> NDArray[np.float64]:
    """Numbers in s15Fixed16 format."""
    return np.frombuffer(tag, ">i4", count, at) / 65536
