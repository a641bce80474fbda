"""DiffAugment: differentiable augmentation of the discriminator's input, real and generated alike.

Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", equations 4 to 6; transformations and
strengths are those of its section 3.2 and reference code. A discriminator overfits a small dataset; random augmentation
prevents that, and because the generator's gradient passes through the same transformations, outputs do not show them.
"""

import torch
from torch import Tensor

from atelier.models.configs.base import Policy

DRAWS = 7  # numbers a picture: brightness, saturation, contrast, shift down and right, row and column of the hole
TRANSLATION = 1 / 8  # of the side, at most
CUTOUT = 1 / 2  # of the side


def diffaugment(x: Tensor, policy: tuple[Policy, ...], draws: Tensor) -> Tensor:
    """Change each picture in its own way; the result is differentiable in `x`.

    Colours are not clamped to the range of pictures, as in the paper: a clamp would cut the gradient.

    Args:
        x: (B, 3, H, W) float in [-1, 1].
        policy: what to do, in this order. "color": brightness plus −0.5…0.5, then saturation times 0…2, then contrast
            times 0.5…1.5. "translation": by up to 1/8 of the side each way, zeros move in. "cutout": a part of half
            the height and width, centred anywhere in the picture, becomes zero.
        draws: (B, DRAWS) in [0, 1), see `random_draws.uniform`; a column is the same quantity whatever the policy.

    Returns:
        (B, 3, H, W), as `x`.
    """
    draws = draws.to(x.device, non_blocking=True)
    for name in policy:
        if name == "color":
            x = _color(x, draws[:, :3].to(x.dtype))
        elif name == "translation":
            x = _translation(x, draws[:, 3:5])
        else:
            x = _cutout(x, draws[:, 5:7])
    return x


def _color(x: Tensor, draws: Tensor) -> Tensor:
    brightness, saturation, contrast = draws[:, :, None, None, None].unbind(1)  # (B, 1, 1, 1) each
    x = x + (brightness - 0.5)
    gray = x.mean(1, keepdim=True)  # (B, 1, H, W)
    x = gray + (x - gray) * (2 * saturation)
    mean = x.mean((1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
    return mean + (x - mean) * (contrast + 0.5)


def _translation(x: Tensor, draws: Tensor) -> Tensor:
    for dim, draw in zip((2, 3), draws.unbind(1), strict=True):
        size = x.shape[dim]
        most = int(size * TRANSLATION + 0.5)
        shift = _integer(draw, 2 * most + 1) - most  # (B,), down or right where positive
        source = torch.arange(size, device=x.device) - shift[:, None]  # (B, size)
        inside = _along(dim, (source >= 0) & (source < size))
        x = x.gather(dim, _along(dim, source.clamp(0, size - 1)).expand_as(x)) * inside
    return x


def _cutout(x: Tensor, draws: Tensor) -> Tensor:
    hole = torch.ones((), dtype=torch.bool, device=x.device)
    for dim, draw in zip((2, 3), draws.unbind(1), strict=True):
        size = x.shape[dim]
        side = int(size * CUTOUT + 0.5)
        begin = _integer(draw, size + 1 - side % 2) - side // 2  # (B,)
        place = torch.arange(size, device=x.device) - begin[:, None]  # (B, size)
        hole = hole & _along(dim, (place >= 0) & (place < side))
    return x * ~hole


def _integer(draw: Tensor, count: int) -> Tensor:
    """0…count − 1, each as likely."""
    return (draw * count).long().clamp(max=count - 1)


def _along(dim: int, values: Tensor) -> Tensor:
    """(B, size) to (B, 1, size, 1) or (B, 1, 1, size), to broadcast over the other dimension."""
    return values[:, None, :, None] if dim == 2 else values[:, None, None, :]
