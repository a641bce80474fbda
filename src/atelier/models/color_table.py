"""A table of colours: what each colour of sRGB becomes, for colours between its entries by trilinear interpolation."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models.painter import Painter
from atelier.models.pixels import as_given, to_float

CHUNK = 2**20  # pixels that are looked up together, which bounds the memory


@dataclass(frozen=True, eq=False)
class ColorTablePainter:
    """A painter whose colours go through a table, pixel by pixel, so that it is the same whole or in tiles."""

    painter: Painter
    table: Tensor  # (N, N, N, 3) float32 in [-1, 1], by red, green and blue from -1 to 1

    def __call__(self, images: Tensor, *places: Tensor) -> Tensor:
        """Stylize pictures; see `Painter`."""
        painted = self.painter(images, *places)
        x = to_float(painted, painted.device)
        return as_given(through(x, self.table.to(x.device)), images)


def through(x: Tensor, table: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] with their colours looked up in a table, see `ColorTablePainter`."""
    pixels = x.permute(0, 2, 3, 1).reshape(-1, 3)  # (P, 3) red, green, blue
    volume = table.permute(3, 0, 1, 2)[None]  # (1, 3, N, N, N): depth is red, width is blue
    found = [
        # a place is given as (width, height, depth)
        F.grid_sample(volume, some.flip(1)[None, None, None], align_corners=True)[0, :, 0, 0].T
        for some in torch.split(pixels, CHUNK)
    ]
    batch, _, height, width = x.shape
    return torch.cat(found).reshape(batch, height, width, 3).permute(0, 3, 1, 2)
