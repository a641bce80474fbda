"""Painters: callables that stylize pictures of any size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.pixels import as_given, mixed, pad, to_float

# Stylizes pictures (B, 3, H, W) of any size; the result has the shape, type and device of its input. uint8 is sRGB;
# float32 is in [-1, 1], and its precision is that of the network, not of 256 levels.
Painter = Callable[[Tensor], Tensor]

MULTIPLE = 4  # px: generators take heights and widths that are multiples of this, because they halve twice
MINIMUM = 8  # px: and at least this, because reflection padding needs two positions at a quarter of the size


@dataclass(frozen=True, eq=False)
class NetworkPainter:
    """A painter that runs one network and mixes its result with the input.

    The mix is linear in sRGB: x + strength · (G(x) − x). The network keeps every shape where it is, so a strength of
    one half shows a half-painted picture and no double contours; strength 0 returns the input bit by bit.
    """

    network: nn.Module  # (B, 3, H, W) in [-1, 1] to the same, for sizes as `MULTIPLE` and `MINIMUM` say
    strength: float = 1.0  # 0…1
    preserve_color: bool = False  # keep the colours of the input

    def __call__(self, images: Tensor) -> Tensor:
        """Stylize pictures; see `Painter`."""
        if self.strength == 0:
            return images
        height, width = images.shape[2:]
        x = pad(to_float(images, next(self.network.parameters()).device), MULTIPLE, MINIMUM)
        with torch.inference_mode():
            y = mixed(x, self.network(x), self.strength, self.preserve_color)
        return as_given(y[:, :, :height, :width], images)


@dataclass(frozen=True, eq=False)
class MaskedPainter:
    """Several painters, each where its mask lets it; where no mask does, the input stays bit by bit."""

    painters: Sequence[Painter]
    shares: Sequence[float]  # of each where masks overlap
    masks: Sequence[Tensor]  # (1, 1, h, w) in [0, 1], resized to every picture

    def __call__(self, images: Tensor) -> Tensor:
        """Stylize pictures; see `Painter`."""
        size = images.shape[2:]
        masks = [
            F.interpolate(mask, size=tuple(size), mode="bilinear", antialias=True).clamp(0, 1) for mask in self.masks
        ]
        weights = [share * mask for share, mask in zip(self.shares, masks, strict=True)]  # (1, 1, H, W)
        total = torch.stack(weights).sum(0)
        x = to_float(images, images.device)
        mean = torch.zeros_like(x)
        for painter, weight in zip(self.painters, weights, strict=True):
            mean += to_float(painter(x), x.device) * (weight / total.clamp(min=1e-6)).to(x.device)
        covered = torch.stack(masks).sum(0).clamp(max=1).to(x.device)
        return torch.where(covered > 0, as_given(torch.lerp(x, mean, covered), images), images)
