"""Planes of noise beside the picture: what strokes hold on to where a picture is plain.

Ulyanov et al. 2016, "Texture Networks", section 3: a network that is given noise at several scales paints textures from
it. Without it a network finds the noise of the camera, and enlarges that, or leaves a sky bare; with noise of one scale
it fills a sky with one pattern. Here the noise is a function of the place alone, so that pictures are painted alike
whenever, wherever and in whatever tiles.
"""

import math

import torch
from torch import Tensor, nn

CELLS = 4, 16  # px, of a plane each: a position at a quarter of the size, and a stroke
PERIODS = 61, 64  # cells, of the two factors of a plane
PERIOD = max(CELLS) * math.prod(PERIODS)  # px, since they have no common divisor


class NoisePlanes(nn.Module):
    """Noise (1, planes, H, W) of -1 and 1, in square cells; a plane is the product of two periodic ones.

    The product is white: where one factor repeats, the other one does not.
    """

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        for period in PERIODS:
            bits = torch.randint(2, (len(CELLS), period, period), generator=random, dtype=torch.float32)
            # in place: for other arithmetic on the device "meta" torch imports its compiler, which takes a second
            self.register_buffer(f"period_{period}", bits.mul_(2).sub_(1))  # (planes, period, period)

    def forward(self, height: int, width: int, top: int = 0, left: int = 0) -> Tensor:
        """The noise of a region that begins at row `top` and column `left`, px."""
        planes = []
        for index, cell in enumerate(CELLS):
            down, right = top % cell, left % cell  # of the region's origin in its first cell
            counts = (down + height + cell - 1) // cell, (right + width + cell - 1) // cell
            factors = []
            for factor in self.buffers():  # (planes, period, period)
                rows, columns = (
                    (torch.arange(count, device=factor.device) + first // cell) % factor.shape[1]
                    for count, first in zip(counts, (top, left), strict=True)
                )
                factors.append(factor[index, rows][:, columns])
            cells = (factors[0] * factors[1])[:, None, :, None].expand(-1, cell, -1, cell)
            noise = cells.reshape(counts[0] * cell, counts[1] * cell)
            planes.append(noise[down : down + height, right : right + width])
        return torch.stack(planes)[None]
