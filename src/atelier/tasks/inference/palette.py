"""The palette of pictures, and the lock that keeps the colours of outputs near it.

Distances are ΔE00 (CIEDE2000: Sharma et al. 2005), as scikit-image computes it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.color import deltaE_ciede2000, lab2rgb, rgb2lab

from atelier.tasks.images.codec import Pixels, load, resize
from atelier.tasks.storage.companion_files import kind_of

COLORS = 48  # of a palette
SIDE_PX = 160  # pictures are shrunk to squares of this side before their colours are counted, so that each counts alike
GRID = 33  # entries of a color table along each axis
LIMIT = 4.0  # ΔE00 from its nearest colour that the lock leaves a colour; under 5 after rounding and interpolation
SOFTNESS = 2.0  # ΔE00 over which two colours of the palette share what lies between them, so that no edge appears

Lab = NDArray[np.float64]  # (N, 3) CIELAB


def palette_of(pictures: Sequence[Pixels]) -> Pixels:
    """The palette of pictures: colours (N, 3), sRGB, by median cut (Heckbert 1982) as Pillow does it."""
    small = np.concatenate([resize(picture, SIDE_PX, SIDE_PX) for picture in pictures])
    colors = Image.fromarray(small).quantize(COLORS, Image.Quantize.MEDIANCUT).getpalette() or []
    return np.unique(np.asarray(colors, np.uint8).reshape(-1, 3), axis=0)


def load_palette(path: Path) -> Pixels:
    """The palette of a picture, or of the pictures in a folder.

    Raises:
        FileNotFoundError, ValueError: there is none, or it cannot be read.
    """
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    pictures = [load(file) for file in files if not kind_of(file.name)]
    if not pictures:
        raise ValueError(f"{path} holds no pictures: name a picture or a folder of pictures whose colours are kept")
    return palette_of(pictures)


def distances(colors: NDArray[np.uint8], palette: Pixels) -> NDArray[np.float64]:
    """ΔE00 (M,) from each of the colours (M, 3) to its nearest of a palette (N, 3), all sRGB."""
    return np.concatenate([_apart(_lab(some), _lab(palette)).min(1) for some in np.array_split(colors, 64)])


def lock_table(palette: Pixels) -> NDArray[np.float32]:
    """The color table (33, 33, 33, 3) in [-1, 1] that brings every colour within `LIMIT` of a palette (N, 3).

    A colour that is near enough stays. Another one moves towards what the nearest colours of the palette have in
    common, each with a weight that falls with its distance, and then, where that is not enough, towards the nearest.
    """
    axis = np.linspace(0, 1, GRID)
    given = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=3).reshape(-1, 3)
    colors, paints = rgb2lab(given), _lab(palette)
    apart = _apart(colors, paints)  # (33³, N)
    weights = np.exp((apart.min(1, keepdims=True) - apart) / SOFTNESS)
    common = weights @ paints / weights.sum(1, keepdims=True)  # what near colours of the palette have in common
    locked = colors
    for target in (common, paints[_apart(common, paints).argmin(1)]):
        enough = np.minimum(1, LIMIT / np.maximum(deltaE_ciede2000(locked, target), 1e-6))[:, None]
        is_near = _apart(locked, paints).min(1, keepdims=True) <= LIMIT
        locked = np.where(is_near, locked, target + enough * (locked - target))
    rgb = np.clip(lab2rgb(locked), 0, 1).reshape(GRID, GRID, GRID, 3)
    return np.asarray(2 * rgb - 1, dtype=np.float32)


def _lab(colors: NDArray[np.uint8]) -> Lab:
    return np.asarray(rgb2lab(colors.reshape(-1, 3) / 255.0))


def _apart(colors: Lab, palette: Lab) -> NDArray[np.float64]:
    """ΔE00 (M, N) between colours (M, 3) and a palette (N, 3)."""
    return np.asarray(deltaE_ciede2000(colors[:, None], palette[None]))
