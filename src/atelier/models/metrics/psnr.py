"""Peak signal-to-noise ratio: how near restored pictures are to what they were, in decibels."""

import torch
from torch import Tensor


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """10 log₁₀ of 1 / mean squared difference of each pair: equal pictures have infinity.

    Args:
        x: pictures (B, C, H, W) in [0, 1].
        y: as x.

    Returns:
        (B,) float64, dB.
    """
    error = (x.double() - y.double()).square().mean((1, 2, 3))
    return -10 * torch.log10(error)
