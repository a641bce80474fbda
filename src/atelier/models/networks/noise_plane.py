"""A plane of noise beside the picture: what strokes hold on to where a picture is plain.

Ulyanov et al. 2016, "Texture Networks", section 3: a network that is given noise paints textures from it. Without it a
network finds the noise of the camera, and enlarges that, or leaves a sky bare. Here the noise is a function of the place
alone, so that pictures are painted alike whenever, wherever and in whatever tiles.
"""

import math

import torch
from torch import Tensor, nn

PERIODS = 61, 64  # px, of the two planes
PERIOD = math.prod(PERIODS)  # px, of the noise, since they have no common divisor


class NoisePlane(nn.Module):
    """Noise (1, 1, H, W) of -1 and 1, the product of two periodic planes.

    The product is white: where one plane repeats, the other one does not.
    """

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        for period in PERIODS:
            signs = torch.randint(2, (period, period), generator=random) * 2.0 - 1
            self.register_buffer(f"plane_{period}", signs)

    def forward(self, height: int, width: int, top: int = 0, left: int = 0) -> Tensor:
        """The noise of a region that begins at row `top` and column `left`, px."""
        noise = None
        for plane in self.buffers():
            rows = (torch.arange(height, device=plane.device) + top) % len(plane)
            columns = (torch.arange(width, device=plane.device) + left) % len(plane)
            part = plane[rows][:, columns]
            noise = part if noise is None else noise * part
        assert noise is not None
        return noise[None, None]
