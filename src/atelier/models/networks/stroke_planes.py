"""Planes of strokes beside the picture: what a network paints along where a picture is plain.

Ulyanov et al. 2016, "Texture Networks", section 3: a network that is given noise at several scales paints textures from
it. Without it a network finds the noise of the camera, and enlarges that, or leaves a sky bare; of white noise it makes
an even canvas. Here the noise is long and narrow, and bent: a sum of waves of which most run across the strokes, looked
up at places that other, slower waves move (domain warping: Quilez 2002). It is a function of the place alone, so that
pictures are painted alike whenever and wherever. A model keeps its planes with its weights.
"""

import math
from random import Random

import torch
from torch import Tensor, nn

STROKES = (5, 30), (10, 60)  # width and length, px, of a plane each
PERIOD = 384  # px, after which the planes repeat
WAVES, SLOW_WAVES = 96, 12
LARGEST = 2.0  # standard deviations, or about; what is beyond is cut
LEVELS = 255


class StrokePlanes(nn.Module):
    """Strokes (1, planes, H, W) in [-LARGEST, LARGEST], of mean 0 and variance 1, nearly."""

    table: Tensor  # uint8 (planes, PERIOD, PERIOD)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.empty(len(STROKES), PERIOD, PERIOD, dtype=torch.uint8))
        if self.table.is_meta:  # a model that is loaded brings its own; arithmetic there would import torch's compiler
            return
        random = Random(0)
        planes = torch.stack([_strokes(width, length, random) for width, length in STROKES])
        self.table.copy_(((planes.clamp(-LARGEST, LARGEST) / (2 * LARGEST) + 0.5) * LEVELS).round())

    def forward(self, height: int, width: int, top: int = 0, left: int = 0) -> Tensor:
        """The strokes of a region that begins at row `top` and column `left`, px."""
        rows, columns = (
            (torch.arange(count, device=self.table.device) + first) % PERIOD
            for count, first in ((height, top), (width, left))
        )
        return self.table[:, rows][:, :, columns][None].float() * (2 * LARGEST / LEVELS) - LARGEST


def _strokes(width: float, length: float, random: Random) -> Tensor:
    """Strokes (PERIOD, PERIOD) of so many pixels, most of them lying."""
    y, x = torch.meshgrid(*[torch.arange(PERIOD, dtype=torch.float64)] * 2, indexing="ij")
    bend = PERIOD / (8 * length)  # periods in the picture
    down, right = (0.7 * length * _waves(SLOW_WAVES, bend, bend, y, x, random) for _ in range(2))
    return _waves(WAVES, PERIOD / (4 * width), PERIOD / (4 * length), y + down, x + right, random)


def _waves(count: int, down: float, across: float, y: Tensor, x: Tensor, random: Random) -> Tensor:
    """A sum of waves at places (H, W), of variance 1.

    Args:
        down: standard deviation of their periods in a column of the picture.
        across: the same of a row.
    """
    total = torch.zeros_like(y)
    for _ in range(count):
        turns = round(random.gauss(0, down)) * y + round(random.gauss(0, across)) * x  # whole numbers: it repeats
        total += torch.cos(2 * math.pi * (turns / PERIOD + random.random()))
    return total * math.sqrt(2 / count)
