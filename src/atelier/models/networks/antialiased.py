"""The residual generator with antialiased changes of size, as Park et al. 2020 (CUT) publish theirs.

Zhang 2019, "Making Convolutional Networks Shift-Invariant Again", section 3.2: convolve at full size, blur, and only
then take every second position; going up, blur what is spread out before it is convolved.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.networks.convolution import FromPicture, ToPicture
from atelier.models.networks.instance_norm import InstanceNorm
from atelier.models.networks.reflection import Reflection
from atelier.models.networks.resnet import RELU, ResnetGenerator, initialise


def _binomial(taps: tuple[float, ...], like: Tensor) -> Tensor:
    """One filter a channel (C, 1, k, k), of sum 1."""
    row = like.new_tensor(taps)
    square = torch.outer(row, row)
    return (square / square.sum()).expand(like.shape[1], 1, -1, -1)


class BlurPool(nn.Module):
    """Blurred by (1, 2, 1), then every second position."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H/2, W/2)."""
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), _binomial((1, 2, 1), x), stride=2, groups=x.shape[1])


class BlurUpsample(nn.Module):
    """Each position spread over its neighbours by (1, 3, 3, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 2 H, 2 W)."""
        filters = 4 * _binomial((1, 3, 3, 1), x)
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(x, filters, stride=2, padding=3, groups=x.shape[1])


class AntialiasedGenerator(ResnetGenerator):
    """See `ResnetGenerator`; only the changes of size differ."""

    def __init__(self, filters: int, blocks: int, dropout: float) -> None:
        super().__init__(filters, blocks, dropout)
        f = filters

        def convolution(channels: int, out: int) -> nn.Conv2d:
            return nn.Conv2d(channels, out, 3, padding=1, bias=False)

        self.encode = nn.Sequential(
            *(Reflection(3), FromPicture(3, f, 7), InstanceNorm(RELU)),
            *(convolution(f, 2 * f), InstanceNorm(RELU), BlurPool()),
            *(convolution(2 * f, 4 * f), InstanceNorm(RELU), BlurPool()),
        )
        self.decode = nn.Sequential(
            *(BlurUpsample(), convolution(4 * f, 2 * f), InstanceNorm(RELU)),
            *(BlurUpsample(), convolution(2 * f, f), InstanceNorm(RELU)),
            *(Reflection(3), ToPicture(f, 3, 7), nn.Tanh()),
        )
        initialise(self)
