"""inpaint: fills holes with what could be there.

Network and drawn holes are those of Yu et al. 2019, "Free-Form Image Inpainting with Gated Convolution". The loss is
the root of the mean squared error in the hole; it counts more near the border of the hole, where it tells most (Yu et
al. 2018, "Generative Image Inpainting with Contextual Attention", section 3.2), and is a share of the error of the
smooth filling, so that plain and busy pictures count alike. What differs: texture is borrowed and not learned, see
`networks.texture`, so that there is neither an encoder nor a discriminator, and the network learns at half the size.
Holes are drawn anew for every picture of every step. The style domain is loaded and not used: set it to the content
domain.
"""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.filling import InpaintConfig
from atelier.models.controls import Controls
from atelier.models.encoders.base import Encoder
from atelier.models.filling import FillingPainter
from atelier.models.holes import NUMBERS, drawn_holes
from atelier.models.methods.base import Method, MicroBatch, autocast
from atelier.models.networks.inpainter import SCALE, Inpainter, smooth
from atelier.models.painter import Painter

NEAR = 6  # pixels of half the size, half the side of the square around one whose known share is its weight
LEAST_WEIGHT = 0.2  # of a pixel in the middle of a large hole
LEAST_ERROR = 0.02  # of a smooth filling: less needs no better one


class Inpaint(Method):
    """The training method; see the module."""

    Config: ClassVar[type[InpaintConfig]] = InpaintConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {"generator": ("generator",)}

    def __init__(self, config: InpaintConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self.generator = self.build_generator(config, type(encoder)).to(device)
        self.modules = {"generator": self.generator}
        self.weights = {"hole": 1.0}

    @staticmethod
    def build_generator(config: InpaintConfig, encoder: type[Encoder] | None) -> Inpainter:
        """A new network, which fills smoothly."""
        return Inpainter(config.filters, config.width, config.blocks)

    @classmethod
    def painter(cls, config: InpaintConfig, generator: nn.Module, controls: Controls) -> Painter:
        """See `FillingPainter`."""
        assert isinstance(generator, Inpainter)
        return FillingPainter(generator.eval(), controls.boxes, controls.takes_labels, controls.insert)

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; there is one turn with one group."""
        x = F.avg_pool2d(batch.content, SCALE)
        hole = drawn_holes(batch.uniform(NUMBERS, 0), x.shape[2], x.shape[3], SCALE).to(self.device)
        base = smooth(x, hole)
        with autocast(self.device, self.dtype):
            drawn = self.generator.drawn(base, hole)
        mine, given = ((y - x).square().mean(1, keepdim=True) for y in (base + drawn, base))  # (B, 1, h, w)
        yield {"hole": _relative(mine, given, hole)}


def _relative(squares: Tensor, smooth_squares: Tensor, hole: Tensor) -> Tensor:
    """Root of the errors in the hole, as a share of those of the smooth filling; of squares (B, 1, h, w).

    A pixel counts as what is known around it. The mean over pictures.
    """
    weight = hole * (LEAST_WEIGHT + F.avg_pool2d(1 - hole, 2 * NEAR + 1, 1, NEAR))
    mine, given = ((weight * each).sum((1, 2, 3)) for each in (squares, smooth_squares))
    least = LEAST_ERROR**2 * weight.sum((1, 2, 3))
    return ((mine + least) / (given + least).clamp(min=1e-6)).sqrt().mean()
