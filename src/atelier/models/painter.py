"""Painters: callables that stylize pictures of any size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from atelier.models.pixels import as_given, fitted, mixed, pad, to_float, upscaled

# Stylizes pictures (B, 3, H, W) of any size; the result has the type and device of its input, and its shape, or is
# `scale` times as high and as wide. uint8 is sRGB; float32 is in [-1, 1], and its precision is that of the network, not
# of 256 levels.
Painter = Callable[[Tensor], Tensor]
# The same for several styles, each where its mask applies, of scale 1: masks (B or 1, S, h, w) in [0, 1] are resized to
# the pictures. Where no mask applies the result may be anything: `placement` lays it over the input.
StylesPainter = Callable[[Tensor, Tensor], Tensor]

MULTIPLE = 4  # px: generators take heights and widths that are multiples of this, because they halve twice
MINIMUM = 8  # px: and at least this, because reflection padding needs two positions at a quarter of the size


@dataclass(frozen=True, eq=False)
class NetworkPainter:
    """A painter that runs one network and mixes its result with the input.

    The mix is linear in sRGB: x + strength · (G(x) − x). The network keeps every shape where it is, so a strength of
    one half shows a half-painted picture and no double contours; strength 0 returns the input bit by bit. Where the
    network enlarges, x is the input enlarged by bicubic interpolation.
    """

    # (B, 3, H, W) in [-1, 1] to `scale` times that size, for sizes as `MULTIPLE` and `MINIMUM` say
    network: nn.Module
    strength: float = 1.0  # 0…1
    preserve_color: bool = False  # keep the colours of the input
    scale: int = 1  # size of the result relative to the input

    def __call__(self, images: Tensor) -> Tensor:
        """Stylize pictures; see `Painter`."""
        if self.strength == 0:
            return upscaled(images, self.scale)
        height, width = (self.scale * size for size in images.shape[2:])
        x = pad(to_float(images, next(self.network.parameters()).device), MULTIPLE, MINIMUM)
        with torch.inference_mode():
            y = mixed(x, self.network(x), self.strength, self.preserve_color)
        return as_given(y[:, :, :height, :width], images)


@dataclass(frozen=True, eq=False)
class ChainPainter:
    """Painters one after another; pixels stay float32 between them, without rounding to 256 levels."""

    painters: Sequence[Callable[..., Tensor]]
    labelled: Sequence[bool]  # whether a painter takes label pictures too, see `PlacedPainter`

    def __call__(self, images: Tensor, *labels: Tensor) -> Tensor:
        """Stylize pictures; see `Painter`. Labels (B, H, W) of the pictures are enlarged to what a painter is given."""
        x = to_float(images, images.device)
        for painter, takes_labels in zip(self.painters, self.labelled, strict=True):
            scale = x.shape[2] // images.shape[2]
            there = [one.repeat_interleave(scale, 1).repeat_interleave(scale, 2) for one in labels if takes_labels]
            x = painter(x, *there)
        return as_given(x, images)


@dataclass(frozen=True, eq=False)
class MaskedPainter:
    """A painter for each style: a `StylesPainter` that mixes their results by the masks."""

    painters: Sequence[Painter]
    shares: Sequence[float]  # of each where masks overlap

    def __call__(self, images: Tensor, masks: Tensor) -> Tensor:
        """Stylize pictures in all styles."""
        size = (images.shape[2], images.shape[3])
        x = to_float(images, images.device)
        mixture, total = torch.zeros_like(x), torch.zeros_like(x[:, :1])
        for index, (painter, share) in enumerate(zip(self.painters, self.shares, strict=True)):
            mask = masks[:, index : index + 1].to(x.device)
            if mask.any():
                weight = share * fitted(mask, *size)
                mixture += weight * to_float(painter(images), x.device)
                total += weight
        return as_given(torch.where(total > 0, mixture / total.clamp(min=1e-6), x), images)
