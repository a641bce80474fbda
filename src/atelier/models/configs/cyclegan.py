"""Settings of cyclegan."""

from dataclasses import dataclass
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
from atelier.models.settings import setting, setting_of


@dataclass(frozen=True)
class CycleganConfig(MethodConfig):
    """Networks, losses and remedies of cyclegan."""

    name: ClassVar[str] = "cyclegan"
    controls: ClassVar[tuple[str, ...]] = ("strength", "direction")

    filters: int = setting(64, "generator channels at full size", ge=4, le=256)
    blocks: int = setting(9, "residual blocks of a generator", ge=1, le=32)
    generator: GeneratorKind = setting("residual", GENERATORS)
    discriminator: DiscriminatorKind = setting("patchgan", DISCRIMINATORS)
    discriminator_filters: int = setting(64, "discriminator channels after its first convolution", ge=4, le=256)
    adversarial: Adversarial = setting("least_squares", "adversarial loss")
    cycle_weight: float = setting(10.0, "weight of cycle consistency, λ", ge=0)
    identity_weight: float = setting(5.0, "weight of the identity loss; 0 skips its work", ge=0)
    pool_size: int = setting(50, "painted pictures that are shown to the discriminator again", ge=0)
    dropout: float = setting(0.0, "share of the channels left out in residual blocks", ge=0, lt=1)
    spectral_norm: bool = setting(False, "spectral norms in the PatchGAN instead of InstanceNorm")
    diffaugment: tuple[Policy, ...] = setting(
        (), "what is augmented before the discriminator: color, translation, cutout"
    )
    r1_weight: float = setting(0.0, "weight γ of the R1 penalty on the discriminator", ge=0)
    r1_every: int = setting(16, "steps between two R1 penalties", ge=1)
    gradient_penalty_weight: float = setting(10.0, "weight of the gradient penalty that wasserstein needs", ge=0)
    optimizer: OptimizerConfig = setting_of(
        lambda: OptimizerConfig(generator_lr=2e-4, discriminator_lr=2e-4, beta2=0.999), "how the weights are updated"
    )

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if self.generator == "skip" and self.dropout:
            raise ValueError("cyclegan.generator skip has no dropout: set cyclegan.dropout to 0")
