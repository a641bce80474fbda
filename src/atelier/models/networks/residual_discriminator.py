"""The residual discriminator of StyleGAN2, without statistics over the batch.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 4.1 and figure 7c. What differs:
sizes are halved by means of 2×2 pixels, before a block's second convolution, and there is no minibatch statistic.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.gan import LEAST_PX
from atelier.models.networks.convolution import channels_last
from atelier.models.networks.dcgan import SLOPE, doublings
from atelier.models.networks.stylegan import WIDEST, EqualizedLinear


class EqualizedConv(nn.Module):
    """A convolution with an equalised learning rate, padded to keep the size."""

    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__()
        weight = torch.randn(out, channels, kernel, kernel)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.bias = nn.Parameter(torch.zeros(out))
        self.gain = 1 / math.sqrt(channels * kernel**2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H, W)."""
        return F.conv2d(x, self.weight * self.gain, self.bias, padding=self.weight.shape[2] // 2)


class ResidualBlock(nn.Module):
    """Two convolutions and a skip, to half the size."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.first, self.second = EqualizedConv(channels, channels, 3), EqualizedConv(channels, out, 3)
        self.skip = EqualizedConv(channels, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H / 2, W / 2)."""
        y = F.avg_pool2d(_active(self.first(x)), 2)
        both: Tensor = _active(self.second(y)) + self.skip(F.avg_pool2d(x, 2))
        return both / math.sqrt(2)


class ResidualDiscriminator(nn.Module):
    """One score for a whole picture.

    With labels, the projection of Miyato & Koyama 2018, "cGANs with Projection Discriminator", equation 4.

    Args:
        filters: channels at full size; they double with every halving, up to sixteen times.
        labels: attributes of a picture that are given.
    """

    def __init__(self, filters: int, size: int, labels: int = 0) -> None:
        super().__init__()
        channels = [filters * min(2**index, WIDEST) for index in range(doublings(size) + 1)]
        self.begin = EqualizedConv(3, filters, 1)
        self.blocks = nn.Sequential(*[ResidualBlock(a, b) for a, b in pairwise(channels)])
        self.end = EqualizedConv(channels[-1], channels[-1], 3)
        self.dense = EqualizedLinear(channels[-1] * LEAST_PX**2, channels[-1])
        self.score = EqualizedLinear(channels[-1], 1)
        self.embed = EqualizedLinear(labels, channels[-1]) if labels else None

    def see(self, x: Tensor) -> list[Tensor]:
        """The picture itself: nothing here is frozen."""
        return [channels_last(x)]

    def judge(self, seen: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Scores (B, 1), float32, of what `see` gave; higher for what is more like the style domain."""
        x = self.end(self.blocks(_active(self.begin(seen[0]))))
        x = _active(self.dense(_active(x).flatten(1)))
        scores: Tensor = self.score(x).float()
        if self.embed is not None:
            assert labels is not None
            scores = scores + (self.embed(labels) * x).float().sum(1, keepdim=True) / math.sqrt(x.shape[1])
        return scores

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pictures (B, 3, size, size) in [-1, 1] to scores (B, 1)."""
        return self.judge(self.see(x), labels)


def _active(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE) * math.sqrt(2)
