"""Perceptual path length: how abruptly pictures change along the way from one latent to another.

Karras et al. 2019, "A Style-Based Generator Architecture", section 4.1: the LPIPS of two pictures whose latents are a
short step apart, by the square of the step; straight ways between latents of layers (equation 3), great circles between
noise (equation 2). What differs: LPIPS is in AlexNet, and pictures are neither cropped nor shrunk, so published figures
are others.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atelier.models.encoders.calibrated import Calibrated
from atelier.models.metrics.lpips import lpips
from atelier.models.random_draws import along

STEP = 1e-4  # share of a way


def path_lengths(
    synthesize: Callable[[Tensor], Tensor], encoder: Calibrated, ends: tuple[Tensor, Tensor], places: Tensor, fixed: int
) -> Tensor:
    """Of each way its length at one place, (B,).

    Args:
        synthesize: latents to pictures in [-1, 1].
        ends: latents of both ends, (B, layers, latent) or noise (B, numbers).
        places: shares of the ways, (B,).
        fixed: of noise, the first numbers that stay as they are at the first end: codes.
    """
    near, far = (synthesize(_on_the_way(*ends, share, fixed)) for share in (places, places + STEP))
    return lpips(encoder, (near + 1) / 2, (far + 1) / 2) / STEP**2


def mean_length(lengths: NDArray[np.float64]) -> float:
    """Mean without the shortest and the longest hundredth, as the authors' program has it."""
    cut = (len(lengths) - 1) // 100
    return float(np.sort(lengths)[cut : len(lengths) - cut].mean())


def _on_the_way(first: Tensor, last: Tensor, shares: Tensor, fixed: int) -> Tensor:
    if first.ndim == 3:
        return torch.lerp(first, last, shares[:, None, None])
    moved = [along(a, b, share[None]) for a, b, share in zip(first[:, fixed:], last[:, fixed:], shares, strict=True)]
    return torch.cat([first[:, :fixed], torch.cat(moved)], 1)
