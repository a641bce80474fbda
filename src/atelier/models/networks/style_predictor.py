"""Predicts the style of conditional instance normalisation from a picture.

Ghiasi et al. 2017, "Exploring the structure of a real-time, arbitrary neural artistic stylization network", section 2:
an encoder's features of the style picture, a bottleneck, and a linear map to all scales and shifts. What differs: the
encoder is a small frozen one, and what is taken of it are the means and correlations of its features, since that is
what makes a style to the loss.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.encoders.base import Encoder
from atelier.models.losses.moments import moments
from atelier.models.losses.perceptual import gram
from atelier.models.pixels import fitted

HIDDEN, BOTTLENECK = 256, 100  # channels; 100 are the paper's


class EqualLinear(nn.Linear):
    """A linear layer whose weights are scaled as they are used, so that wide ones do not move in leaps.

    An equalised learning rate: Karras et al. 2018, "Progressive Growing of GANs", section 4.1.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out)
        # `nn.init.normal_` is slow on "meta", see `stroke_planes`
        self.weight = nn.Parameter(torch.randn(out, channels))
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels) to (B, out)."""
        return F.linear(x, self.weight / math.sqrt(self.in_features), self.bias)


class StylePredictor(nn.Module):
    """Pictures of styles (B, 3, H, W) in [-1, 1], at least 32 px a side, to styles (B, size).

    Args:
        kind: of the encoder, whose style layers are looked at.
        size: numbers in a style, see `networks.conditional`.
    """

    mean: Tensor  # (N) of the statistics over the style domain
    deviation: Tensor  # (N)

    def __init__(self, kind: type[Encoder], size: int) -> None:
        super().__init__()
        self.encoder = kind()
        self.encoder.freeze()
        count = sum(channels * (channels + 3) // 2 for channels in kind.style_channels().values())
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))
        last = EqualLinear(BOTTLENECK, size)
        nn.init.zeros_(last.weight)  # at first, every style is the common one
        self.body = nn.Sequential(EqualLinear(count, HIDDEN), nn.ReLU(), EqualLinear(HIDDEN, BOTTLENECK), last)

    @torch.no_grad()
    def statistics(self, pictures: Tensor, region: Tensor | None = None) -> Tensor:
        """(B, N): roots of the mean products of each two channels, and their means, of every style layer.

        Args:
            region: (1, 1, any height, any width) in [0, 1], of which they are taken; of all by default.
        """
        features = self.encoder.encode(pictures)
        parts = []
        for layer in self.encoder.style_layers:
            share = None if region is None else fitted(region, *features[layer].shape[2:])
            products = gram(features[layer], share)  # (B, C, C)
            rows, columns = torch.triu_indices(*products.shape[1:], device=products.device)
            flat = products[:, rows, columns]
            parts += [flat.sign() * flat.abs().sqrt(), moments(features[layer], share)[0].flatten(1)]
        return torch.cat(parts, 1)

    def forward(self, pictures: Tensor, region: Tensor | None = None) -> Tensor:
        """See the class, and `statistics` for the region."""
        seen = (self.statistics(pictures, region) - self.mean) / self.deviation
        style: Tensor = self.body(seen)
        return style

    def common(self) -> Tensor:
        """The style (size) of the mean statistics of the style domain."""
        style: Tensor = self.body(torch.zeros_like(self.mean))
        return style
