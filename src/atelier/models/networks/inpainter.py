"""The network that fills holes: gated convolutions over a smooth filling, and borrowed texture.

Gated convolutions and their layout, with dilated ones where the picture is smallest, are those of Yu et al. 2019,
"Free-Form Image Inpainting with Gated Convolution", section 3.1. What differs, so that it learns in half an hour of a
processor: the hole comes filled by a membrane, and the network paints what is missing over that, at first nothing; it
paints at half the size, and texture at full size is borrowed from the picture, see `texture`; there is one stage, and
skips; the first and the last convolution are at half the size of what it paints, of which every pixel is four (Zhang et
al. 2018, "FFDNet", section 3.2). No layer has statistics of the picture: what is filled depends on what is near.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.networks.convolution import channels_last
from atelier.models.networks.texture import borrowed

SCALE = 2  # pixels of a side that are one of what is painted, and again of those that are channels
MULTIPLE = 8  # px: heights and widths are multiples of this
DILATIONS = (2, 4, 8, 1)  # of the blocks, in turn
GAIN = 2.5  # of the features' weights at first: a gate and SiLU take as much away
TAKEN = 0.4  # share of the texture that is taken: all of it costs PSNR, and without it holes look like plastic
SWEEPS = 8
LEAST_KNOWN = 0.25  # share of a cell that is known, from which on it has that colour alone


class Gated(nn.Conv2d):
    """A 3×3 convolution times a gate, σ(g) · SiLU(f): Yu et al. 2019, equation 3."""

    def __init__(self, channels: int, out: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(channels, 2 * out, 3, stride, dilation, dilation)
        nn.init.normal_(self.weight[:out], std=GAIN / (9 * channels) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, out, H / stride, W / stride)."""
        features, gate = super().forward(x).chunk(2, 1)
        return F.silu(features) * gate.sigmoid()


class Inpainter(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] with holes (B, 1, H, W) in {0, 1} to pictures of the same shape.

    Args:
        filters: channels at a quarter of the picture's size.
        width: channels at an eighth.
        blocks: dilated convolutions there.
    """

    def __init__(self, filters: int, width: int, blocks: int) -> None:
        super().__init__()
        f, w, cell = filters, width, SCALE * SCALE
        self.first = Gated(4 * cell, f)
        self.down = nn.Sequential(Gated(f, w, stride=2), Gated(w, w))
        self.blocks = nn.ModuleList(Gated(w, w, dilation=DILATIONS[i % len(DILATIONS)]) for i in range(blocks))
        self.up = nn.Sequential(Gated(w, f), nn.Upsample(scale_factor=2, mode="bilinear"))
        self.merge = nn.Sequential(Gated(2 * f, f), Gated(f, f))
        self.draw = nn.Conv2d(f, 3 * cell, 3, padding=1)
        nn.init.zeros_(self.draw.weight)
        assert self.draw.bias is not None
        nn.init.zeros_(self.draw.bias)

    def forward(self, x: Tensor, hole: Tensor) -> Tensor:
        """Height and width must be multiples of `MULTIPLE`; outside of the hole it is x, inside x is not looked at."""
        return torch.where(hole > 0, self.painted(smooth(x, hole), hole), x)

    def painted(self, base: Tensor, hole: Tensor) -> Tensor:
        """Pictures whose hole is filled smoothly, and in it what is painted and borrowed; of the same sizes."""
        small = F.avg_pool2d(base, SCALE), F.max_pool2d(hole, SCALE)
        drawn = F.interpolate(self.drawn(*small), scale_factor=SCALE, mode="bilinear")
        drawn = base + drawn * hole
        return drawn + TAKEN * borrowed(drawn, hole)

    def drawn(self, base: Tensor, hole: Tensor) -> Tensor:
        """What is added (B, 3, h, w) to pictures of half the size whose hole is filled smoothly; 0 outside of it."""
        near = self.first(channels_last(F.pixel_unshuffle(torch.cat([base, hole], 1), SCALE)))
        y = self.down(near)
        for block in self.blocks:
            y = y + block(y)
        y = self.merge(torch.cat([self.up(y), near], 1))
        return F.pixel_shuffle(self.draw(y), SCALE).float() * hole


def smooth(x: Tensor, hole: Tensor) -> Tensor:
    """Pictures (B, C, H, W) with holes (B, 1, H, W) filled by a membrane, as smooth as can be.

    Pérez et al. 2003, "Poisson Image Editing", equation 2: every pixel of the hole is the mean of its neighbours.
    Solved from coarse to fine: by pull and push (Gortler et al. 1996, "The Lumigraph", section 3.4), means of what is
    known at ever coarser sizes and back, and a few sweeps of Jacobi's method at each size. A picture without a known
    pixel becomes 0.
    """
    known = 1 - hole
    levels = [(x * known, known)]
    while max(levels[-1][0].shape[2:]) > 1:
        total, share = (F.avg_pool2d(y, 2, ceil_mode=True) for y in levels[-1])
        trust = (share / LEAST_KNOWN).clamp(max=1)
        levels.append((total / share.clamp(min=1e-6) * trust, trust))
    total, trust = levels[-1]
    filled = total / trust.clamp(min=1e-6)
    for total, trust in reversed(levels[:-1]):
        filled = total + (1 - trust) * F.interpolate(filled, size=total.shape[2:], mode="bilinear")
        for _ in range(SWEEPS):
            filled = total + (1 - trust) * _neighbours(filled)
    return filled


def _neighbours(x: Tensor) -> Tensor:
    """The mean of the four neighbours of each pixel (B, C, H, W); beyond the edges are those of the edges."""
    y = F.pad(x, (1, 1, 1, 1), mode="replicate")
    across, down = y[:, :, 1:-1, :-2] + y[:, :, 1:-1, 2:], y[:, :, :-2, 1:-1] + y[:, :, 2:, 1:-1]
    return (across + down) / 4
