"""Settings of cyclegan."""

from dataclasses import dataclass, field
from typing import ClassVar

from atelier.models.configs.base import MethodConfig
from atelier.models.configs.choices import (
    DISCRIMINATORS,
    GENERATORS,
    Adversarial,
    DiscriminatorKind,
    GeneratorKind,
    Policy,
)
from atelier.models.configs.optimizer import OptimizerConfig


@dataclass(frozen=True)
class CycleganConfig(MethodConfig):
    """Networks, losses and remedies of cyclegan."""

    name: ClassVar[str] = "cyclegan"
    controls: ClassVar[tuple[str, ...]] = ("strength", "direction")

    filters: int = field(default=64, metadata={"description": "generator channels at full size", "ge": 4, "le": 256})
    blocks: int = field(default=9, metadata={"description": "residual blocks of a generator", "ge": 1, "le": 32})
    generator: GeneratorKind = field(default="residual", metadata={"description": GENERATORS})
    discriminator: DiscriminatorKind = field(default="patchgan", metadata={"description": DISCRIMINATORS})
    discriminator_filters: int = field(
        default=64, metadata={"description": "discriminator channels after its first convolution", "ge": 4, "le": 256}
    )
    adversarial: Adversarial = field(default="least_squares", metadata={"description": "adversarial loss"})
    cycle_weight: float = field(default=10.0, metadata={"description": "weight of cycle consistency, λ", "ge": 0})
    identity_weight: float = field(
        default=5.0, metadata={"description": "weight of the identity loss; 0 skips its work", "ge": 0}
    )
    pool_size: int = field(
        default=50, metadata={"description": "painted pictures that are shown to the discriminator again", "ge": 0}
    )
    dropout: float = field(
        default=0.0, metadata={"description": "share of the channels left out in residual blocks", "ge": 0, "lt": 1}
    )
    spectral_norm: bool = field(
        default=False,
        metadata={"description": "spectral norms in the PatchGAN instead of InstanceNorm"},
    )
    diffaugment: tuple[Policy, ...] = field(
        default=(), metadata={"description": "what is augmented before the discriminator: color, translation, cutout"}
    )
    r1_weight: float = field(
        default=0.0, metadata={"description": "weight γ of the R1 penalty on the discriminator", "ge": 0}
    )
    r1_every: int = field(default=16, metadata={"description": "steps between two R1 penalties", "ge": 1})
    gradient_penalty_weight: float = field(
        default=10.0, metadata={"description": "weight of the gradient penalty that wasserstein needs", "ge": 0}
    )
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(generator_lr=2e-4, discriminator_lr=2e-4, beta2=0.999),
        metadata={"description": "how the weights are updated"},
    )

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if self.generator == "skip" and self.dropout:
            raise ValueError("cyclegan.generator skip has no dropout: set cyclegan.dropout to 0")
