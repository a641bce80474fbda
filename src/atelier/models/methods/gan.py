"""gan and dcgan: pictures of the style domain from noise, against one convolutional discriminator.

Goodfellow et al. 2014, "Generative Adversarial Nets", algorithm 1 with one step each and the non-saturating loss of
section 3; the gradient penalty R1, and β₁ = 0, of Mescheder et al. 2018, "Which Training Methods for GANs do actually
Converge?". The content domain is loaded and not used: set it to the style domain. What differs: norms within each
picture and a gradient penalty in place of BatchNorm, see `networks.dcgan`; noise is normal, not uniform.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from atelier.models.configs.gan import DcganConfig, GanConfig
from atelier.models.controls import Controls, check_controls
from atelier.models.encoders.base import Encoder
from atelier.models.losses.adversarial import discriminator_losses, generator_loss
from atelier.models.losses.penalties import r1_penalty
from atelier.models.methods.base import Method, MicroBatch, augmented, autocast
from atelier.models.networks.dcgan import DcganDiscriminator, DcganGenerator, DenseGenerator
from atelier.models.painter import Painter
from atelier.models.random_draws import normal


class NoiseMethod(Method):
    """A method that generates: one generator from noise, and one discriminator, by default a `DcganDiscriminator`."""

    turns: ClassVar[dict[str, tuple[str, ...]]] = {"generator": ("generator",), "discriminator": ("discriminator",)}

    def __init__(self, config: Any, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        if not config.size_px:
            raise ValueError(f"train.{config.name}.size_px is 0, and the training set does not tell its size: set it")
        self.config, self.device, self.dtype = config, device, dtype
        self.generator = self.build_generator(config, type(encoder)).to(device)
        self.discriminator = self.build_discriminator(config, encoder).to(device)
        self.modules = {"generator": self.generator, "discriminator": self.discriminator}
        self.weights = {"adversarial": 1.0, "discriminator": 1.0, "r1": config.r1_weight / 2 * config.r1_every}

    @staticmethod
    def build_discriminator(config: Any, encoder: Encoder) -> Any:
        """The discriminator of this config."""
        return DcganDiscriminator(config.discriminator_filters, config.size_px)

    @classmethod
    def painter(cls, config: Any, generator: nn.Module, controls: Controls) -> Painter:
        """There is none: raises ValueError with what to do instead."""
        check_controls(cls.Config, controls)
        raise AssertionError("unreachable: check_controls refuses methods that generate")

    @classmethod
    def synthesize(cls, config: Any, generator: nn.Module, latents: Tensor) -> Tensor:
        """See `Method.synthesize`."""
        made: Tensor = generator(latents.to(next(generator.parameters()).device))
        return made

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; each turn has one group."""
        c = self.config
        if turn == "generator":
            with autocast(self.device, self.dtype):
                made = self.generator(normal(batch.uniform(c.noise, 0)).to(self.device))
                scores = self.discriminator(augmented(made, c.diffaugment, batch, 1))
            batch.saved["made"] = made.detach()
            yield {"adversarial": generator_loss(c.adversarial, scores)}
            return
        real, made = (augmented(x, c.diffaugment, batch, 1) for x in (batch.style, batch.saved["made"]))
        with autocast(self.device, self.dtype):
            scores = self.discriminator(torch.cat([real, made]))
        losses = discriminator_losses(c.adversarial, scores)
        if c.r1_weight and batch.step % c.r1_every == 0:
            losses["r1"] = r1_penalty(self.discriminator, real)
        yield losses


class Gan(NoiseMethod):
    """A generator of linear layers that knows nothing of pictures but their number of pixels.

    A picture of 128 px has 49,152 numbers, and each has its own weights: what it learns is coarse, and larger pictures
    would not fit.
    """

    Config: ClassVar[type[GanConfig]] = GanConfig

    @staticmethod
    def build_generator(config: GanConfig, encoder: type[Encoder] | None) -> nn.Module:
        """The generator of this config."""
        return DenseGenerator(config.noise, config.width, config.size_px)


class Dcgan(NoiseMethod):
    """Transposed convolutions.

    Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks":
    guidelines and generator of section 3 and figure 1 (100 numbers, strided convolutions, no hidden linear layers, ReLU
    and tanh in the generator, leaky ReLU of 0.2 in the discriminator, weights of the generator from N(0, 0.02²)). What
    differs: a quarter of the paper's channels and a higher rate, 5·10⁻⁴ instead of 2·10⁻⁴, for a processor's few steps.
    """

    Config: ClassVar[type[DcganConfig]] = DcganConfig

    @staticmethod
    def build_generator(config: DcganConfig, encoder: type[Encoder] | None) -> nn.Module:
        """The generator of this config."""
        return DcganGenerator(config.noise, config.filters, config.size_px)
