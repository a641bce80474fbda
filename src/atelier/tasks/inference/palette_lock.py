"""The palette lock: a color table that keeps the colours of outputs near a palette.

Distances are ΔE00 (CIEDE2000: Sharma et al. 2005), as scikit-image computes it.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, lab2rgb, rgb2lab
from torch import Tensor

GRID = 33  # entries of a color table along each axis
LIMIT = 4.0  # ΔE00 from its nearest colour that the lock leaves a colour; under 5 after rounding and interpolation
SOFTNESS = 2.0  # ΔE00 over which two colours of the palette share what lies between them, so that no edge appears

Lab = NDArray[np.float64]  # (N, 3) CIELAB


def distances(colors: NDArray[np.uint8], palette: Sequence[str]) -> NDArray[np.float64]:
    """ΔE00 (M,) from each of the colours (M, 3), sRGB, to its nearest of a palette."""
    paints = _paints(palette)
    return np.concatenate([_apart(rgb2lab(some / 255.0), paints).min(1) for some in np.array_split(colors, 64)])


@lru_cache(maxsize=2)  # a job builds painters for several depths
def lock_table(palette: tuple[str, ...]) -> Tensor:
    """The color table (33, 33, 33, 3) in [-1, 1] that brings every colour within `LIMIT` of a palette.

    A colour that is near enough stays. Another one moves towards what the nearest colours of the palette have in
    common, each with a weight that falls with its distance, and then, where that is not enough, towards the nearest.
    """
    axis = np.linspace(0, 1, GRID)
    given = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=3).reshape(-1, 3)
    colors, paints = rgb2lab(given), _paints(palette)
    apart = _apart(colors, paints)  # (33³, N)
    weights = np.exp((apart.min(1, keepdims=True) - apart) / SOFTNESS)
    common = weights @ paints / weights.sum(1, keepdims=True)  # what near colours of the palette have in common
    locked = colors
    for target in (common, paints[_apart(common, paints).argmin(1)]):
        enough = np.minimum(1, LIMIT / np.maximum(deltaE_ciede2000(locked, target), 1e-6))[:, None]
        is_near = _apart(locked, paints).min(1, keepdims=True) <= LIMIT
        locked = np.where(is_near, locked, target + enough * (locked - target))
    rgb = np.clip(lab2rgb(locked), 0, 1).reshape(GRID, GRID, GRID, 3)
    return torch.from_numpy(2 * rgb - 1).float()


def _paints(palette: Sequence[str]) -> Lab:
    """The colours of a palette, (N, 3)."""
    return np.asarray(rgb2lab(np.asarray([list(bytes.fromhex(color[1:])) for color in palette]) / 255.0))


def _apart(colors: Lab, palette: Lab) -> NDArray[np.float64]:
    """ΔE00 (M, N) between colours (M, 3) and a palette (N, 3)."""
    return np.asarray(deltaE_ciede2000(colors[:, None], palette[None]))
