"""A network that restores: residual blocks without norms, at half the size of the picture or at its own.

Layout of Lim et al. 2017, "Enhanced Deep Residual Networks for Single Image Super-Resolution" (residual blocks without
batch norm, a sub-pixel convolution at the end). Where nothing is enlarged, 2×2 pixels are channels; and the network is
told the level of noise: Zhang et al. 2018, "FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image Denoising",
section 3. A norm over the picture would change its contrast, and make tiles differ. What is learned is the difference
from the picture: Zhang et al. 2017, "Beyond a Gaussian Denoiser", section 3.1. By choice there are blocks at half the
size again, in the middle, with a skip around them, as a U-Net has (Ronneberger et al. 2015): they see twice as far, and
cost a quarter.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.restoration import UNTOLD
from atelier.models.networks.local import LocalNetwork

NOISE_UNIT = 50.0  # 8-bit values that are a level of 1
FIRST = 0.1  # factor of the first weights behind each block's last convolution: it begins near the identity


class Block(nn.Module):
    """x + two 3×3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = conv(channels, channels), conv(channels, channels)
        with torch.no_grad():
            self.second.weight *= FIRST

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        y: Tensor = self.second(F.relu(self.first(x)))
        return x + y


class Coarse(nn.Module):
    """x + blocks at half the size, with twice the channels."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, 2 * channels, 2, stride=2)
        self.blocks = nn.Sequential(*(Block(2 * channels) for _ in range(blocks)))
        self.up = nn.Conv2d(2 * channels, 4 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), H and W even, to the same."""
        y = self.blocks(self.down(x))  # (B, 2 C, H / 2, W / 2)
        return x + F.pixel_shuffle(self.up(y), 2)


def conv(channels: int, out: int) -> nn.Conv2d:
    """A 3×3 convolution, its weights with the channels last, in which a processor computes it faster."""
    layer = nn.Conv2d(channels, out, 3, padding=1)
    layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    return layer


class Restorer(LocalNetwork):
    """Pictures (B, 3, H, W) in [-1, 1] to restored ones, (B, 3, scale · H, scale · W).

    H and W must be even, and multiples of 4 with coarse blocks. Results may leave the range a little.

    Args:
        filters: channels of the blocks.
        scale: 1, 2 or 4.
        coarse_blocks: blocks in the middle, at half the size, with twice the channels.
    """

    def __init__(self, filters: int, blocks: int, scale: int, coarse_blocks: int = 0) -> None:
        super().__init__()
        self.scale = scale
        self.cell = 2 if scale == 1 else 1  # px a side that are one position
        self.noise = UNTOLD  # what `forward` tells of the noise where it is not given
        self.reach = self.cell * (2 * blocks + 3 + (4 * coarse_blocks + 2 if coarse_blocks else 0))
        self.head = conv(3 * self.cell**2 + 1, filters)
        body: list[nn.Module] = [Block(filters) for _ in range(blocks)]
        if coarse_blocks:
            body.insert(blocks // 2, Coarse(filters, coarse_blocks))
        self.body = nn.Sequential(*body)
        self.tail = conv(filters, 3 * (self.cell * scale) ** 2)
        with torch.no_grad():
            self.tail.weight *= FIRST
            assert self.tail.bias is not None
            self.tail.bias.zero_()

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Restore pictures.

        Args:
            noise: (B,), the σ of each picture's noise in 8-bit values, or `UNTOLD`; None is `self.noise`.
        """
        cells = F.pixel_unshuffle(x, self.cell)  # (B, 3 cell², h, w)
        if noise is None:
            noise = x.new_full((1,), self.noise)
        level = torch.where(noise < 0, UNTOLD, noise / NOISE_UNIT)[:, None, None, None].to(x.dtype)
        y = self.head(torch.cat([cells, level.expand(len(x), 1, *cells.shape[2:])], 1))
        y = self.tail(y + self.body(y)).float() + cells.repeat_interleave(self.scale**2, 1)
        return F.pixel_shuffle(y, self.cell * self.scale)

    def told(self, noise: float) -> "Restorer":
        """The same network, which takes pictures to have noise of this σ, in 8-bit values."""
        knowing = copy.copy(self)
        knowing.noise = noise
        return knowing
