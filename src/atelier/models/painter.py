"""Painters: callables that stylize pictures of any size."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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

    def __call__(self, images: Tensor) -> Tensor:
        """Stylize pictures; see `Painter`."""
        if self.strength == 0:
            return images
        height, width = images.shape[2:]
        x = pad(to_float(images, next(self.network.parameters()).device), MULTIPLE, MINIMUM)
        with torch.inference_mode():
            y = mixed(x, self.network(x), self.strength)
        return as_given(y[:, :, :height, :width], images)
