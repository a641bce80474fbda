"""Losses on what an encoder sees, and on neighbouring pixels.

All are relative to the size of their target: a value of 1 means "as far off as an empty picture", whatever the encoder
and the layer, so that one set of weights serves every encoder.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

CELL_PX = 8  # what is lighter or darker is compared over cells of this size: strokes are finer
THRESHOLDS = 33  # of colours, along each direction
LEAST_VARIANCE = 1e-3  # of luminance in [-1, 1]: flatter pictures have no light and dark to keep


def gram(features: Tensor, share: Tensor | None = None) -> Tensor:
    """Correlations of channels over all positions: G = F Fᵀ / (h w), (B, C, h, w) to (B, C, C), in float32.

    Gatys et al. 2016, equation 3; divided by the number of positions as in Johnson et al. 2016, equation 3, so that
    pictures of any size compare. Of a region as in Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style
    Transfer", equation 3.

    Args:
        share: (B or 1, 1, h, w) in [0, 1], how much each position counts; all count by default.
    """
    flat = features.float().flatten(2)  # (B, C, h w)
    if share is None:
        return flat @ flat.transpose(1, 2) / flat.shape[2]
    weights = share.float().flatten(2)  # (B, 1, h w)
    return (flat * weights) @ flat.transpose(1, 2) / weights.sum(2, keepdim=True).clamp(min=1e-6)


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """‖F − P‖² / ‖P‖²: Gatys et al. 2016, equation 1 and Johnson et al. 2016, equation 2, relative to the target.

    Args:
        features: (B, C, h, w) of the painted pictures.
        target: (B, C, h, w) of the pictures they were painted from.
    """
    target = target.float()
    error = (features.float() - target).square().mean((1, 2, 3)) / target.square().mean((1, 2, 3))  # (B,)
    return error.mean()


def style_loss(painted: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
    """Mean over layers of ‖G − A‖² / ‖A‖²: Gatys et al. 2016, equations 4 and 5, Johnson et al. 2016, equation 4.

    Args:
        painted: by layer, the Gram matrix (C, C) of what was painted; or of each picture (B, C, C), then it is their
            mean too.
        target: by layer, the Gram matrix of the style, of the same shape.
    """
    losses = [_relative(painted[layer], wanted) for layer, wanted in target.items()]
    return sum(losses[1:], losses[0]) / len(losses)


def _relative(painted: Tensor, target: Tensor) -> Tensor:
    return ((painted - target).square().sum((-2, -1)) / target.square().sum((-2, -1))).mean()


def unit_distance(features: Mapping[str, Tensor], target: Mapping[str, Tensor], layers: Sequence[str]) -> Tensor:
    """Mean squared distance of features that have unit length at each position, over positions and layers: 0 to 4.

    Zhang et al. 2018 (LPIPS), equation 1, with equal weights for all channels.

    Args:
        features: (B, C, h, w) by layer.
        target: of the same shapes.
        layers: those that count.
    """
    distances = [
        (F.normalize(features[layer].float()) - F.normalize(target[layer].float())).square().sum(1).mean()
        for layer in layers
    ]
    return torch.stack(distances).mean()


def total_variation(x: Tensor) -> Tensor:
    """Mean absolute difference of neighbours in (B, C, H, W), down plus across: Rudin et al. 1992, anisotropic."""
    down = (x[:, :, 1:] - x[:, :, :-1]).abs().mean()
    across = (x[:, :, :, 1:] - x[:, :, :, :-1]).abs().mean()
    return down + across


def luminance_loss(painted: Tensor, content: Tensor) -> Tensor:
    """1 − Pearson's correlation of coarse luminance, mean over pictures: light stays light and dark stays dark.

    Ours. An adversarial loss is as content with a negative, and so are Gram matrices; a correlation leaves brightness
    and contrast to the style and forbids only their exchange.

    Args:
        painted: (B, 3, H, W) in [-1, 1], at least 8 px a side.
        content: (B, 3, H, W), the pictures they were painted from.

    Returns:
        In [0, 2]; 1 for pictures that are flat.
    """
    a, b = _coarse_luminance(painted), _coarse_luminance(content)  # (B, cells)
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    spread = (a.square().mean(1) + LEAST_VARIANCE).sqrt() * (b.square().mean(1) + LEAST_VARIANCE).sqrt()
    return (1 - (a * b).mean(1) / spread).mean()


def tone(pictures: Tensor) -> Tensor:
    """Mean and mean square (B, 2) of the coarse luminance of pictures (B, 3, H, W) in [-1, 1], at least 8 px a side."""
    cells = _coarse_luminance(pictures)  # (B, cells)
    return torch.stack([cells.mean(1), cells.square().mean(1)], 1)


def tone_loss(painted: Tensor, content: Tensor, style: Tensor) -> Tensor:
    """Error of the coarse luminance: the content's light and dark, with the mean and contrast of the style, is right.

    The target is Gatys et al. 2016, "Preserving Color in Neural Artistic Style Transfer", section 5, luminance-only
    transfer: L' = σ_style / σ_content (L − μ_content) + μ_style. Gram matrices are as content with light and dark in
    every stroke and the same grey everywhere.

    Args:
        painted: (B, 3, H, W) in [-1, 1], at least 8 px a side.
        content: (B, 3, H, W), the pictures they were painted from.
        style: (B, 2), the `tone` of the style of each: of a whole painting, if a model paints in it whatever window it
            is shown. A network that cannot know the window paints the mean of all, in no contrast.

    Returns:
        Mean square, as a share of the style's variance.
    """
    a, b = _coarse_luminance(painted), _coarse_luminance(content)  # (B, cells)
    mean, square = style.float().unbind(1)
    wanted = square - mean.square() + LEAST_VARIANCE
    scale = (wanted / (b.var(1, correction=0) + LEAST_VARIANCE)).sqrt()
    target = (b - b.mean(1, keepdim=True)) * scale[:, None] + mean[:, None]
    return ((a - target).square().mean(1) / wanted).mean()


def palette(pictures: Tensor) -> Tensor:
    """Which coarse colours pictures (B, 3, H, W) in [-1, 1] have: the shares (B, 13, T) that lie below thresholds.

    Along 13 directions of the colour cube: its axes and all its diagonals. A threshold is a ramp as wide as the step to
    the next one, so that every colour has a gradient. Pictures have at least 8 px a side. The mean of several pictures'
    is that of their colours together.
    """
    colors = F.avg_pool2d(pictures.float(), CELL_PX).flatten(2)  # (B, 3, cells)
    # (B, 13, cells) in [-1, 1]; a matrix product would round them under autocast
    along = (_directions(colors)[:, :, None] * colors[:, None]).sum(2)
    thresholds = torch.linspace(-1, 1, THRESHOLDS, device=colors.device)
    ramps = (thresholds[:, None] - along[:, :, None]) * (THRESHOLDS - 1) / 2 + 0.5  # (B, 13, T, cells)
    return ramps.clamp(0, 1).mean(3)


def palette_loss(painted: Tensor, style: Tensor) -> Tensor:
    """Distance of the colours to the style's: ∫ (F − G)² along each direction, as a share of the style's ∫ G (1 − G).

    That is half the energy distance in one dimension, Székely & Rizzo 2013, "Energy statistics", along directions as in
    Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of measures". Gram matrices of an encoder hardly see
    whether a colour is pure: without it light places have the palest colour and not one of the style's.

    Args:
        painted: (B, 3, H, W) in [-1, 1], at least 8 px a side.
        style: (B, 13, T), the `palette` of the style of each.
    """
    style = style.float()
    spread = (style * (1 - style)).sum((1, 2))  # (B,)
    return ((palette(painted) - style).square().sum((1, 2)) / spread).mean()


def _directions(x: Tensor) -> Tensor:
    """(13, 3): the axes and diagonals of a cube, each with absolute values that sum to 1; one of each opposite pair."""
    all_of = torch.cartesian_prod(*3 * [torch.tensor([1.0, 0.0, -1.0], device=x.device)])
    return F.normalize(all_of[:13], p=1, dim=1)


def _coarse_luminance(x: Tensor) -> Tensor:
    """(B, 3, H, W) to the means (B, cells) of cells."""
    return F.avg_pool2d(_luminance(x), CELL_PX).flatten(1)


def _luminance(x: Tensor) -> Tensor:
    """(B, 3, H, W) to (B, 1, H, W), weights of ITU-R BT.601."""
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=x.dtype, device=x.device)
    return (x * weights[:, None, None]).sum(1, keepdim=True)


def identity_loss(painted: Tensor, style: Tensor) -> Tensor:
    """‖G(y) − y‖₁, mean over pixels (B, 3, H, W): a picture of the style is left alone.

    Zhu et al. 2017 (CycleGAN), section 5.2.
    """
    return (painted - style).abs().mean()
