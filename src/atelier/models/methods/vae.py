"""vae: pictures from latents, and the latents of pictures; with a discriminator the VAE-GAN.

Kingma & Welling 2014, "Auto-Encoding Variational Bayes", equation 10: an encoder gives each picture a normal
distribution of latents, a decoder draws it again; a distance and β times the divergence from the standard normal
distribution are minimised (β of Higgins et al. 2017, "beta-VAE", equation 4). The distance is that of pixels, and of
features of a frozen encoder at each position, as in Hou et al. 2017, "Deep Feature Consistent Variational Autoencoder",
equation 4: pixels alone give the mean of all that may be there, which is blurred.

With `adversarial_weight` it is Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric",
algorithm 1: a discriminator of pictures against reconstructions and pictures from noise. What differs: features are
those of the frozen encoder and not the discriminator's, and the adversarial loss moves the encoder too. Networks are
`dcgan`'s. The content domain is loaded and not used: set it to the style domain.
"""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from atelier.models.configs.gan import VaeConfig
from atelier.models.encoders.base import Encoder
from atelier.models.losses.adversarial import accuracy, discriminator_loss, generator_loss
from atelier.models.losses.penalties import r1_penalty
from atelier.models.losses.perceptual import unit_distance
from atelier.models.methods.base import MicroBatch, augmented, autocast
from atelier.models.methods.gan import NoiseMethod
from atelier.models.networks.convolution import channels_last
from atelier.models.networks.vae import Autoencoder, divergence, drawn
from atelier.models.random_draws import normal


class Vae(NoiseMethod):
    """The training method; see the module."""

    Config: ClassVar[type[VaeConfig]] = VaeConfig
    generator: Autoencoder

    def __init__(self, config: VaeConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(config, encoder, device, dtype)
        self.encoder = encoder.to(device)
        self.weights |= {
            "pixel": config.pixel_weight,
            "perceptual": config.perceptual_weight,
            "divergence": config.beta,
            "adversarial": config.adversarial_weight,
        }
        if not config.adversarial_weight:
            # what is not asked for has no turn
            self.modules = {"generator": self.generator}
            self.turns = {"generator": self.turns["generator"]}  # type: ignore[misc]

    @staticmethod
    def build_generator(config: VaeConfig, encoder: type[Encoder] | None) -> Autoencoder:
        """The networks of a model folder."""
        return Autoencoder(config.noise, config.filters, config.size_px)

    @classmethod
    def encode(cls, config: VaeConfig, generator: nn.Module, pictures: Tensor) -> Tensor:
        """See `Method.encode`: the means of the latents."""
        assert isinstance(generator, Autoencoder)
        mean, _ = generator.encode(pictures)
        return mean

    @classmethod
    def sample_rows(cls, config: VaeConfig, generator: nn.Module, pictures: Tensor, seed: int) -> dict[str, Tensor]:
        """See `Method.sample_rows`: the pictures, reconstructed."""
        return {"reconstructed": cls.reconstruct(config, generator, pictures)}

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; each turn has one group."""
        yield self._autoencoder_losses(batch) if turn == "generator" else self._discriminator_losses(batch)

    def _autoencoder_losses(self, batch: MicroBatch) -> dict[str, Tensor]:
        c, real = self.config, batch.style
        with autocast(self.device, self.dtype):
            mean, log_variance = self.generator.encode(real)
            latents = drawn(mean, log_variance, normal(batch.uniform(c.noise, 0)).to(self.device))
            made = self.generator(latents)
        losses = {
            "pixel": (made - real).square().mean(),
            "divergence": divergence(mean, log_variance).mean() / real[0].numel(),
        }
        if c.perceptual_weight:
            layers = self.encoder.style_layers
            with torch.no_grad():
                target = self.encoder.encode(channels_last(real))
            losses["perceptual"] = unit_distance(self.encoder.encode(channels_last(made)), target, layers)
        if c.adversarial_weight:
            with autocast(self.device, self.dtype):
                sampled = self.generator(normal(batch.uniform(c.noise, 1)).to(self.device))
                scores = self.discriminator(self._augmented(batch, made, sampled))
            losses["adversarial"] = generator_loss(c.adversarial, scores)
            batch.saved["made"] = made.detach(), sampled.detach()
        return losses

    def _discriminator_losses(self, batch: MicroBatch) -> dict[str, Tensor]:
        """Larsen et al. 2016, equation 8: against reconstructions and pictures from noise, half each."""
        c = self.config
        seen = self._augmented(batch, batch.style, *batch.saved["made"])
        with autocast(self.device, self.dtype):
            scores = self.discriminator(seen)
        real, fake = scores[: len(batch.style)], scores[len(batch.style) :]
        losses = {
            "discriminator": discriminator_loss(c.adversarial, real, fake),
            "discriminator_accuracy": accuracy(c.adversarial, real, fake),
        }
        if c.r1_weight and batch.step % c.r1_every == 0:
            losses["r1"] = r1_penalty(self.discriminator, seen[: len(batch.style)])
        return losses

    def _augmented(self, batch: MicroBatch, *pictures: Tensor) -> Tensor:
        """Pictures (b, 3, H, W) for the discriminator, one after another."""
        return torch.cat([augmented(x, self.config.diffaugment, batch, 2) for x in pictures])
