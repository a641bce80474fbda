"""Placement of styles: each is painted where its mask, its labels or its regions are, and nowhere else.

A picture is painted by all styles in their places, and then laid over the input: where none of them has a place, the
input stays bit by bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models.controls import Style
from atelier.models.painter import StylesPainter
from atelier.models.pixels import as_given, fitted, to_float

MASK_PX = 512  # longest side of masks that mix styles: they are smooth
SOFT = 0.004  # half the breadth of a soft border, as a share of the longest side
STRIP_PIXELS = 2**22  # that are laid over the input at once


@dataclass(frozen=True)
class Places:
    """Where the styles of a batch of pictures are painted."""

    masks: Tensor  # (B or 1, S, h, w) in [0, 1], one for each style, of any size: they are resized to the pictures
    cover: Tensor | None = None  # (B or 1, 1, H, W) in [0, 1], share of the painting in the result; None: it is all


class Placement(Protocol):
    """Finds the places of styles in pictures."""

    def __call__(self, images: Tensor, labels: Tensor | None) -> Places:
        """The places in pictures (B, 3, H, W), with label pictures (B, H, W) in uint8 where labels decide."""


@dataclass(frozen=True, eq=False)
class PlacedPainter:
    """A painter of several styles, each in its place."""

    painter: StylesPainter
    placement: Placement

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Stylize pictures; see `Painter`. Labels (B, H, W) uint8 are needed where styles have labels."""
        places = self.placement(images, labels)
        painted = self.painter(images, places.masks)
        return painted if places.cover is None else laid_over(images, painted, places.cover)


@dataclass(frozen=True, eq=False)
class StylePlaces:
    """The places of styles that have masks or labels; a style with neither applies everywhere."""

    styles: Sequence[Style]

    def __call__(self, images: Tensor, labels: Tensor | None) -> Places:
        """See `Placement`. Raises ValueError where styles have labels and the pictures have none."""
        if any(style.label is not None for style in self.styles):
            if labels is None:
                raise ValueError("the styles have labels, and the picture has no label picture")
            return self._labelled(labels.to(images.device))
        size = (images.shape[2], images.shape[3])
        masks = [_mask(style, images.device) for style in self.styles]
        cover = torch.zeros(1, 1, *size, device=images.device)
        for mask in masks:
            cover += fitted(mask, *size)
        return Places(torch.cat([fitted(mask, *_small(size)) for mask in masks], 1), cover.clamp(max=1))

    def _labelled(self, labels: Tensor) -> Places:
        """Places by labels (B, H, W); borders to what has no style are soft on the inner side only."""
        size = (labels.shape[1], labels.shape[2])
        small = _small(size)
        inside = torch.zeros_like(labels, dtype=torch.bool)
        masks = []
        for style in self.styles:
            at = torch.eq(labels, style.label or 0)
            inside |= at
            masks.append(box_mean(fitted(at[:, None].float(), *small), max(1, round(SOFT * max(small)))))
        soft = fitted(torch.stack(masks).sum(0).clamp(max=1), *size)
        # at a straight border a quarter of the painting, and all of it inside
        return Places(torch.cat(masks, 1), soft.square_().mul_(inside[:, None]))


def laid_over(images: Tensor, painted: Tensor, cover: Tensor) -> Tensor:
    """What was painted (B, 3, H, W), laid over the input by a cover (B or 1, 1, H, W); where that is 0, the input."""
    result = torch.empty_like(images)
    rows = max(1, STRIP_PIXELS // (len(images) * images.shape[3]))
    for top in range(0, images.shape[2], rows):
        given, over, share = (x[:, :, top : top + rows] for x in (images, painted, cover))
        mixed = torch.lerp(to_float(given, images.device), to_float(over, images.device), share)
        result[:, :, top : top + rows] = torch.where(share > 0, as_given(mixed, images), given)
    return result


def box_mean(x: Tensor, radius: int) -> Tensor:
    """Means over squares of 2 · radius + 1 of (B, C, H, W), whose edges are continued."""
    side = 2 * radius + 1
    down = F.avg_pool2d(F.pad(x, (0, 0, radius, radius), mode="replicate"), (side, 1), 1)
    return F.avg_pool2d(F.pad(down, (radius, radius, 0, 0), mode="replicate"), (1, side), 1)


def guided_filter(guide: Tensor, x: Tensor, radius: int, epsilon: float) -> Tensor:
    """x (B, C, H, W) smoothed with the edges of a guide (B, 1, H, W).

    He et al. 2010, "Guided Image Filtering", equations 5, 6 and 8.

    Args:
        radius: of the square windows, px.
        epsilon: variance of the guide below which a window is smoothed.
    """
    mean, mean_x = box_mean(guide, radius), box_mean(x, radius)
    variance = box_mean(guide * guide, radius) - mean * mean
    slope = (box_mean(guide * x, radius) - mean * mean_x) / (variance + epsilon)
    return box_mean(slope, radius) * guide + box_mean(mean_x - slope * mean, radius)


def _mask(style: Style, device: torch.device) -> Tensor:
    """(1, 1, h, w) in [0, 1]."""
    if style.mask is None:
        return torch.ones(1, 1, 1, 1, device=device)
    return torch.from_numpy(style.mask.copy())[None, None].to(device) / 255


def _small(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, MASK_PX / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
