"""restore: pictures as they were before noise, blur, low light or JPEG, or at twice or four times their size.

Trained on sharp pictures, which `degradations` spoils. The distance of pixels is that of Lai et al. 2017, "Deep
Laplacian Pyramid Networks for Fast and Accurate Super-Resolution", equation 2. By choice there are the distance of an
encoder's features (Johnson et al. 2016) and a discriminator on patches (Ledig et al. 2017, "Photo-Realistic Single
Image Super-Resolution Using a Generative Adversarial Network", section 2.2): they draw detail that looks right and is
not known. The content domain is restored; the style domain is loaded and not used: set it to the content domain.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from atelier.models.configs.restoration import RestoreConfig
from atelier.models.controls import Controls
from atelier.models.degradations import DRAWS, degraded, grain_numbers
from atelier.models.encoders.base import Encoder
from atelier.models.losses.adversarial import discriminator_losses, generator_loss
from atelier.models.losses.perceptual import content_loss
from atelier.models.methods.base import Method, MicroBatch, autocast
from atelier.models.methods.window import window
from atelier.models.networks.patchgan import PatchGan
from atelier.models.networks.restorer import Restorer
from atelier.models.networks.spectral import advance
from atelier.models.painter import NetworkPainter, Painter
from atelier.models.pixels import to_float, to_uint8
from atelier.models.random_draws import uniform

EPSILON = 1e-3  # of the distance of pixels, for values in [-1, 1]
SHOWN = 2**32  # seed of the degradations that samples and measurements are shown with: no training has it


def charbonnier(x: Tensor, target: Tensor) -> Tensor:
    """Mean of √((x − y)² + ε²): Lai et al. 2017, equation 2."""
    return ((x.float() - target).square() + EPSILON**2).sqrt().mean()


class Restore(Method):
    """The training method; see the module."""

    Config: ClassVar[type[RestoreConfig]] = RestoreConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {"generator": ("generator",), "discriminator": ("discriminator",)}

    def __init__(self, config: RestoreConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        self.encoder = encoder.to(device)
        self.generator = self.build_generator(config, None).to(device)
        self.modules = {"generator": self.generator}
        self.weights = {name: getattr(config, f"{name}_weight") for name in ("pixel", "perceptual", "adversarial")}
        if config.adversarial_weight:
            self.discriminator = PatchGan(config.discriminator_filters, spectral=True).to(device)
            self.modules["discriminator"] = self.discriminator
            self.weights["discriminator"] = 1.0
        else:
            # what is not asked for has no turn
            self.turns = {"generator": self.turns["generator"]}  # type: ignore[misc]

    @staticmethod
    def build_generator(config: RestoreConfig, encoder: type[Encoder] | None) -> Restorer:
        """A new network; what it gives is near its picture at first."""
        return Restorer(config.filters, config.blocks, config.scale, config.coarse_blocks)

    @classmethod
    def painter(cls, config: RestoreConfig, generator: nn.Module, controls: Controls) -> Painter:
        """See `Method.painter`."""
        assert isinstance(generator, Restorer)
        network = generator.eval()
        known = network if controls.noise is None else network.told(controls.noise)
        return NetworkPainter(known, controls.strength, scale=config.scale)

    @classmethod
    def inputs(cls, config: RestoreConfig, pictures: Tensor, first: int) -> Tensor:
        """See `Method.inputs`: the pictures, degraded."""
        x = to_float(pictures, pictures.device)
        counts = DRAWS, grain_numbers(x, config.scale)
        draws, grain = (uniform(SHOWN, 0, first, len(x), count, salt) for salt, count in enumerate(counts))
        return to_uint8(degraded(x, replace(config, alike=0.0), draws, grain).pictures)

    def begin(self, turn: str, parts: Sequence[MicroBatch]) -> None:
        """Settle the spectral norms of the discriminator, once for all parts of the batch."""
        if self.config.adversarial_weight:
            advance(self.discriminator)

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; each turn has one group."""
        yield self._generator_losses(batch) if turn == "generator" else self._discriminator_losses(batch)

    def _generator_losses(self, batch: MicroBatch) -> dict[str, Tensor]:
        c = self.config
        grain = batch.uniform(grain_numbers(batch.content, c.scale), 1)
        given = degraded(batch.content, c, batch.uniform(DRAWS, 0), grain)
        sharp = given.sharp
        with autocast(self.device, self.dtype):
            restored = self.generator(given.pictures, given.noise)
        losses = {"pixel": charbonnier(restored, sharp)}
        if c.perceptual_weight:
            view = window(batch.step, *sharp.shape[2:])
            with torch.no_grad():
                target = self.encoder.encode(sharp[view])[self.encoder.content_layer]
            features = self.encoder.encode(restored[view])[self.encoder.content_layer]
            losses["perceptual"] = content_loss(features, target)
        if c.adversarial_weight:
            with autocast(self.device, self.dtype):
                losses["adversarial"] = generator_loss("least_squares", self.discriminator(restored))
            batch.saved["pictures"] = torch.cat([sharp, restored.detach()])
        return losses

    def _discriminator_losses(self, batch: MicroBatch) -> dict[str, Tensor]:
        with autocast(self.device, self.dtype):
            scores = self.discriminator(batch.saved["pictures"])
        return discriminator_losses("least_squares", scores)
