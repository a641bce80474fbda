"""Affine changes of pictures that do not change what they show: turned, slanted, stretched and moved a little."""

import torch
from torch import Tensor
from torch.nn import functional as F

DRAWS = 6  # numbers a picture: angle, slant, width, height, shift across and down
TURN, SLANT, STRETCH, SHIFT = 0.4, 0.4, 0.25, 0.15  # rad; px across a px down; of the logarithm; of half the side


def affine(x: Tensor, draws: Tensor) -> Tensor:
    """Change each picture in its own way; what moves in continues the edge. The result is differentiable in `x`.

    Args:
        x: (B, C, H, W), any range.
        draws: (B, DRAWS) in [0, 1), see `random_draws.uniform`: turned by up to 23°, slanted by as much, stretched each
            way by up to a quarter, moved by up to 1/13 of the side.

    Returns:
        (B, C, H, W), as `x`.
    """
    angle, slant, wide, high, across, down = (2 * draws.to(x.device) - 1).unbind(1)  # (B,) in ±1 each
    cos, sin, shear = (TURN * angle).cos(), (TURN * angle).sin(), SLANT * slant
    wide, high = (STRETCH * wide).exp(), (STRETCH * high).exp()
    rows = [
        torch.stack([wide * cos, high * (shear * cos - sin), SHIFT * across], 1),
        torch.stack([wide * sin, high * (shear * sin + cos), SHIFT * down], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid.to(x.dtype), padding_mode="border", align_corners=False)
