"""Means and standard deviations of features, channel by channel: AdaIN's statistics of a style."""

import torch
from torch import Tensor

EPSILON = 1e-5  # of the variance: the published code's


def moments(features: Tensor, share: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over positions, in float32: Huang & Belongie 2017, equations 5 and 6.

    Args:
        features: (B, C, h, w).
        share: (B or 1, 1, h, w) in [0, 1], how much each position counts; all count by default.

    Returns:
        Both (B, C, 1, 1).
    """
    x = features.float()
    if share is None:
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    else:
        total = share.sum((2, 3), keepdim=True).clamp(min=1e-6)
        mean = (x * share).sum((2, 3), keepdim=True) / total
        variance = ((x - mean).square() * share).sum((2, 3), keepdim=True) / total
    return mean, (variance + EPSILON).sqrt()


def adain(features: Tensor, mean: Tensor, std: Tensor, share: Tensor | None = None) -> Tensor:
    """σ(y) (x − μ(x)) / σ(x) + μ(y): Huang & Belongie 2017, equation 8; in float32.

    Args:
        features: x, (B, C, h, w).
        mean: μ(y), (B or 1, C, 1, 1).
        std: σ(y), as `mean`.
        share: of each position in the moments of x, see `moments`.
    """
    own_mean, own_std = moments(features, share)
    return (features.float() - own_mean) / own_std * std + mean


def moments_loss(painted: Tensor, style: Tensor) -> Tensor:
    """One layer's squared distances of means and of deviations, mean over pictures and channels.

    Huang & Belongie 2017, equation 13, a term of the sum; squared, as published code has it.

    Args:
        painted: features (B, C, h, w).
        style: features (B, C, h', w') of the style that each was to have.
    """
    pairs = zip(moments(painted), moments(style), strict=True)
    return sum(((a - b).square().mean() for a, b in pairs), torch.zeros((), device=painted.device))
