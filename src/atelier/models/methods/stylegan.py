"""stylegan: pictures from noise by a style-based generator.

Karras et al. 2019 and 2020: see `networks.stylegan` for the generator; style mixing in training (2019, section 3.1);
lazy R1 (2020, appendix B); the averaged generator is the engine's. `discriminator` chooses the family: "projected"
(Sauer et al. 2021) with the hinge loss, or "plain", the residual one, with R1. `adversarial: relativistic` with R1 and
R2 is the loss of Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern Baseline GAN" (R3GAN), section 2.
DiffAugment keeps the discriminator from learning a small set by heart (Zhao et al. 2020).

What differs: path length regularisation and minibatch statistics are left out. The one costs time and serves inversion;
with the other a picture's gradient would depend on how workers share the batch. Labels, where there are attributes, are
those of the style pictures at the same places; at inference they are codes, each as often given as not.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from atelier.models.configs.stylegan import StyleganConfig
from atelier.models.encoders.base import Encoder
from atelier.models.losses.adversarial import (
    discriminator_losses,
    generator_loss,
    relativistic_discriminator_losses,
    relativistic_generator_loss,
)
from atelier.models.losses.penalties import r1_penalty
from atelier.models.methods.base import Batch, MicroBatch, augmented, autocast
from atelier.models.methods.gan import NoiseMethod
from atelier.models.methods.style_inputs import fit_units
from atelier.models.networks.infogan import code_values
from atelier.models.networks.residual_discriminator import ResidualDiscriminator
from atelier.models.networks.spectral import advance
from atelier.models.networks.stage_discriminator import StageDiscriminator
from atelier.models.networks.stylegan import StyleGenerator
from atelier.models.random_draws import normal

LATENTS, AUGMENTATION, NOISE = range(3)  # salts of random draws


class Stylegan(NoiseMethod):
    """The training method; see the module."""

    Config: ClassVar[type[StyleganConfig]] = StyleganConfig
    generator: StyleGenerator

    def __init__(self, config: StyleganConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(config, encoder.to(device), device, dtype)
        self.weights["r2"] = config.r2_weight / 2 * config.r1_every

    @staticmethod
    def build_generator(config: StyleganConfig, encoder: type[Encoder] | None) -> StyleGenerator:
        """The generator of this config."""
        labels = len(config.attributes)
        return StyleGenerator(config.noise - labels, config.latent, config.filters, config.size_px, labels)

    @staticmethod
    def build_discriminator(config: StyleganConfig, encoder: Encoder) -> StageDiscriminator | ResidualDiscriminator:
        """The discriminator of this config."""
        filters, labels = config.discriminator_filters, len(config.attributes)
        if config.discriminator == "plain":
            return ResidualDiscriminator(filters, config.size_px, labels)
        return StageDiscriminator(encoder, config.size_px, filters, labels)

    @classmethod
    @torch.inference_mode()
    def latents(cls, config: StyleganConfig, generator: nn.Module, noise: Tensor) -> Tensor:
        """w of each layer, (B, layers, latent)."""
        return _mapped(config, generator, noise)[:, None].expand(-1, config.layers, -1)

    @classmethod
    def synthesize(cls, config: StyleganConfig, generator: nn.Module, latents: Tensor) -> Tensor:
        """See `Method.synthesize`; latents of the layers (B, layers, latent)."""
        made: Tensor = generator(latents.unbind(1))
        return made

    def prepare(self, batches: Callable[[int], Batch], batch_size: int) -> None:
        """Set the feature scales of the discriminator."""
        fit_units([self.discriminator], batches, batch_size, self.device)

    def begin(self, turn: str, parts: Sequence[MicroBatch]) -> None:
        """Advance the spectral norms."""
        advance(self.discriminator)

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; the discriminator's penalties are a second group."""
        labels = batch.style_labels if self.config.attributes else None
        if turn == "generator":
            yield self._generation(batch, labels)
            return
        yield self._discrimination(batch, labels)
        yield from self._penalties(batch, labels)

    def _generation(self, batch: MicroBatch, labels: Tensor | None) -> dict[str, Tensor]:
        c = self.config
        with autocast(self.device, self.dtype):
            made = augmented(self._made(batch, labels), c.diffaugment, batch, AUGMENTATION)
            seen = self.discriminator.see(made)
            scores = self.discriminator.judge(seen, labels)
            batch.saved |= {"made": made.detach(), "fake": [x.detach() for x in seen]}
            with torch.no_grad():
                batch.saved["real"] = self.discriminator.see(self._real(batch))
            if c.adversarial == "relativistic":
                real = self.discriminator.judge(batch.saved["real"], labels)
                return {"adversarial": relativistic_generator_loss(real, scores)}
        return {"adversarial": generator_loss(c.adversarial, scores)}

    def _made(self, batch: MicroBatch, labels: Tensor | None) -> Tensor:
        """Pictures (b, 3, H, W) from random latents, some of which are mixed of two."""
        size, layers = self.config.noise - len(self.config.attributes), self.config.layers
        draws = batch.uniform(2 * size + 2, LATENTS).to(self.device)
        first, second = (self.generator.mapping(normal(z), labels) for z in torch.split(draws[:, : 2 * size], size, 1))
        mixed, crossing = draws[:, -2] < self.config.mixing, 1 + (draws[:, -1] * (layers - 1)).long()
        latents = [torch.where((mixed & (layer >= crossing))[:, None], second, first) for layer in range(layers)]
        noise = normal(batch.uniform(sum(self.generator.places), NOISE)).to(self.device)
        made: Tensor = self.generator(latents, noise)
        return made

    def _real(self, batch: MicroBatch) -> Tensor:
        return augmented(batch.style, self.config.diffaugment, batch, AUGMENTATION)

    def _discrimination(self, batch: MicroBatch, labels: Tensor | None) -> dict[str, Tensor]:
        c = self.config
        both = [torch.cat(pair) for pair in zip(batch.saved["real"], batch.saved["fake"], strict=True)]
        with autocast(self.device, self.dtype):
            scores = self.discriminator.judge(both, None if labels is None else labels.repeat(2, 1))
        if c.adversarial == "relativistic":
            return relativistic_discriminator_losses(scores)
        return discriminator_losses(c.adversarial, scores)

    def _penalties(self, batch: MicroBatch, labels: Tensor | None) -> Iterator[dict[str, Tensor]]:
        """R1 of real pictures and R2 of generated ones, where they are due."""
        c = self.config
        if batch.step % c.r1_every:
            return
        for name, weight, pictures in (
            ("r1", c.r1_weight, self._real(batch)),
            ("r2", c.r2_weight, batch.saved["made"]),
        ):
            if weight:
                yield {name: r1_penalty(lambda x: self.discriminator(x, labels), pictures)}


def _mapped(config: StyleganConfig, generator: nn.Module, noise: Tensor) -> Tensor:
    """w (B, latent) of noise (B, config.noise), whose first numbers are the codes of attributes."""
    assert isinstance(generator, StyleGenerator)
    labels, noise = noise.to(generator.constant.device).tensor_split([len(config.codes)], 1)
    latents: Tensor = generator.mapping(noise, code_values(labels, config.codes) if config.codes else None)
    return latents
