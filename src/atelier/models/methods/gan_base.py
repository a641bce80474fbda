"""What `gan` and `dcgan` share: pictures of the style domain from noise, against one discriminator.

Goodfellow et al. 2014, "Generative Adversarial Nets", algorithm 1 with one step each and the non-saturating loss of
section 3; the gradient penalty R1, and β₁ = 0, of Mescheder et al. 2018, "Which Training Methods for GANs do actually
Converge?". The content domain is read and not used: set it to the same as the style domain.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from atelier.models.controls import Controls, check
from atelier.models.diffaugment import Policy
from atelier.models.encoders.base import Encoder
from atelier.models.losses.adversarial import Adversarial, discriminator_losses, generator_loss
from atelier.models.losses.penalties import r1_penalty
from atelier.models.methods.base import Method, Painter, Part, augmented, autocast
from atelier.models.networks.dcgan import SIZES, DcganDiscriminator
from atelier.models.optimizer import OptimizerConfig
from atelier.models.pixels import to_uint8
from atelier.models.random_draws import normal


@dataclass(frozen=True)
class NoiseConfig:
    """What both methods have."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    sizes: ClassVar[tuple[int, ...]] = SIZES

    size_px: int = field(
        default=0, metadata={"description": "side of the pictures, a power of two; 0 takes the training set's", "ge": 0}
    )
    noise: int = field(
        default=100, metadata={"description": "random numbers that a picture is made from", "ge": 1, "le": 4096}
    )
    discriminator_filters: int = field(
        default=16, metadata={"description": "discriminator channels after its first convolution", "ge": 4, "le": 256}
    )
    adversarial: Adversarial = field(default="non_saturating", metadata={"description": "adversarial loss"})
    diffaugment: tuple[Policy, ...] = field(
        default=(), metadata={"description": "what is augmented before the discriminator: color, translation, cutout"}
    )
    r1_weight: float = field(
        default=1.0, metadata={"description": "weight γ of the R1 penalty on the discriminator", "ge": 0}
    )
    r1_every: int = field(default=8, metadata={"description": "steps between two R1 penalties", "ge": 1})
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(generator_lr=5e-4, discriminator_lr=5e-4, beta1=0.0, beta2=0.99),
        metadata={"description": "how the weights are updated"},
    )

    def __post_init__(self) -> None:
        """Refuse sizes that the networks do not have."""
        if self.size_px and self.size_px not in self.sizes:
            sizes = ", ".join(map(str, self.sizes))
            raise ValueError(
                f"pictures of {self.size_px} px cannot be generated: set augment.size_px to one of {sizes}"
            )


class FromNoise(Method):
    """A method that generates: one generator from noise, and a `DcganDiscriminator`."""

    turns: ClassVar[dict[str, tuple[str, ...]]] = {"generator": ("generator",), "discriminator": ("discriminator",)}
    generates: ClassVar[bool] = True

    def __init__(self, config: Any, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        if not config.size_px:
            raise ValueError(f"train.{self.name}.size_px is 0, and the training set does not tell its size: set it")
        self.config, self.device, self.dtype = config, device, dtype
        self.generator = self.build_generator(config, type(encoder)).to(device)
        self.discriminator = DcganDiscriminator(config.discriminator_filters, config.size_px).to(device)
        self.modules = {"generator": self.generator, "discriminator": self.discriminator}
        self.weights = {"adversarial": 1.0, "discriminator": 1.0, "r1": config.r1_weight / 2 * config.r1_every}

    @classmethod
    def painter(cls, config: Any, generator: nn.Module, controls: Controls) -> Painter:
        """There is none.

        Raises:
            ValueError: always, with what to do instead.
        """
        check(cls.name, controls)
        raise AssertionError("a method that generates honours no wish")

    @classmethod
    @torch.inference_mode()
    def generate(cls, config: Any, generator: nn.Module, noise: Tensor) -> Tensor:
        """See `Method.generate`."""
        return to_uint8(generator(noise.to(next(generator.parameters()).device)))

    def losses(self, turn: str, part: Part) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`; each turn has one group."""
        c = self.config
        if turn == "generator":
            with autocast(self.device, self.dtype):
                made = self.generator(normal(part.draws(c.noise, 0)).to(self.device))
                scores = self.discriminator(augmented(made, c.diffaugment, part, 1))
            part.memo["made"] = made.detach()
            yield {"adversarial": generator_loss(c.adversarial, scores)}
            return
        real, made = augmented(part.style, c.diffaugment, part, 1), augmented(part.memo["made"], c.diffaugment, part, 1)
        with autocast(self.device, self.dtype):
            scores = self.discriminator(torch.cat([real, made]))
        losses = discriminator_losses(c.adversarial, scores)
        if c.r1_weight and part.step % c.r1_every == 0:
            losses["r1"] = r1_penalty(self.discriminator, real)
        yield losses
