"""inpaint: fills holes with what could be there.

Networks and drawn holes are those of Yu et al. 2019, "Free-Form Image Inpainting with Gated Convolution", losses those
of Liu et al. 2018, "Image Inpainting for Irregular Holes Using Partial Convolutions", equations 3 to 5: absolute errors
in the hole and outside, distances of an encoder's features, and of their Gram matrices. What differs: a light network,
see `networks.inpainter`; errors in the hole are a share of those of the smooth filling, and count more near its border,
where they tell most (Yu et al. 2018, "Generative Image Inpainting with Contextual Attention", section 3.2); losses in
the encoder are relative to their targets, and of the composed picture alone; there is no total variation, since nothing
is blank, and no discriminator. Holes are drawn anew for every picture of every
step. The style domain is loaded and not used: set it to the content domain.
"""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.boxes import parsed
from atelier.models.configs.filling import InpaintConfig
from atelier.models.controls import Controls
from atelier.models.encoders.base import Encoder
from atelier.models.filling import FillingPainter
from atelier.models.holes import NUMBERS, drawn_holes
from atelier.models.losses.perceptual import content_loss, gram, style_loss
from atelier.models.methods.base import Method, MicroBatch, autocast
from atelier.models.networks.inpainter import Inpainter, smooth
from atelier.models.painter import Painter

NEAR_PX = 12  # half the side of the square around a pixel whose known share is its weight
LEAST_WEIGHT = 0.05  # of a pixel in the middle of a large hole
LEAST_ERROR = 0.01  # of a smooth filling: less needs no better one


class Inpaint(Method):
    """The training method; see the module."""

    Config: ClassVar[type[InpaintConfig]] = InpaintConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {"generator": ("generator",)}

    def __init__(self, config: InpaintConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        self.layers = encoder.style_layers[:3]  # textures; deeper ones cost most and tell things apart
        encoder.end_at(self.layers[-1])
        self.encoder = encoder.to(device)
        self.generator = self.build_generator(config, type(encoder)).to(device)
        self.modules = {"generator": self.generator}
        self.weights = {name: getattr(config, f"{name}_weight") for name in ("hole", "outside", "perceptual", "style")}

    @staticmethod
    def build_generator(config: InpaintConfig, encoder: type[Encoder] | None) -> Inpainter:
        """A new network, which fills smoothly."""
        return Inpainter(config.filters, config.width, config.blocks)

    @classmethod
    def painter(cls, config: InpaintConfig, generator: nn.Module, controls: Controls) -> Painter:
        """See `FillingPainter`."""
        assert isinstance(generator, Inpainter)
        return FillingPainter(generator.eval(), tuple(map(parsed, controls.remove)))

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; there is one turn with one group."""
        x = batch.content
        hole = drawn_holes(batch.uniform(NUMBERS, 0), *x.shape[2:]).to(self.device)
        base = smooth(x, hole)
        with autocast(self.device, self.dtype):
            painted = base + self.generator.painted(base, hole)
        error = (painted - x).abs().mean(1, keepdim=True)  # (B, 1, H, W)
        losses = {
            "hole": _relative(error, (base - x).abs().mean(1, keepdim=True), hole),
            "outside": (error * (1 - hole)).mean(),
        }
        if self.config.perceptual_weight or self.config.style_weight:
            losses |= self._seen(torch.lerp(x, painted, hole), x)
        yield losses

    def _seen(self, painted: Tensor, given: Tensor) -> dict[str, Tensor]:
        """The losses in the encoder, of pictures that were filled (B, 3, H, W) and of the same without holes."""
        with autocast(self.device, self.dtype):
            found = self.encoder.encode(painted)
            with torch.no_grad():
                wanted = self.encoder.encode(given)
        distances = [content_loss(found[layer], wanted[layer]) for layer in self.layers]
        grams, targets = ({layer: gram(seen[layer]) for layer in self.layers} for seen in (found, wanted))
        return {
            "perceptual": sum(distances[1:], distances[0]) / len(distances),
            "style": style_loss(grams, targets),
        }


def _relative(error: Tensor, smooth_error: Tensor, hole: Tensor) -> Tensor:
    """Errors in the hole as a share of those of the smooth filling, all (B, 1, H, W); mean over pictures.

    A pixel counts as what is known around it.
    """
    weight = hole * (LEAST_WEIGHT + F.avg_pool2d(1 - hole, 2 * NEAR_PX + 1, 1, NEAR_PX))
    mine, given = ((weight * each).sum((1, 2, 3)) for each in (error, smooth_error))
    return (mine / (given + LEAST_ERROR * weight.sum((1, 2, 3))).clamp(min=1e-6)).mean()
