"""Settings of cut and fastcut."""

from dataclasses import dataclass
from typing import ClassVar

from atelier.models.configs.base import MethodConfig
from atelier.models.configs.choices import DISCRIMINATORS, GENERATORS, Adversarial, DiscriminatorKind, GeneratorKind
from atelier.models.configs.optimizer import OptimizerConfig
from atelier.models.settings import setting, setting_of


@dataclass(frozen=True)
class CutConfig(MethodConfig):
    """Networks and loss weights of cut."""

    name: ClassVar[str] = "cut"

    filters: int = setting(64, "generator channels at full size", ge=4, le=256)
    blocks: int = setting(9, "residual blocks of the generator", ge=1, le=32)
    generator: GeneratorKind = setting("antialiased", GENERATORS)
    discriminator: DiscriminatorKind = setting("patchgan", DISCRIMINATORS)
    discriminator_filters: int = setting(64, "discriminator channels after its first convolution", ge=4, le=256)
    adversarial: Adversarial = setting("least_squares", "adversarial loss")
    adversarial_weight: float = setting(1.0, "weight of the adversarial loss", ge=0)
    nce_weight: float = setting(1.0, "weight of the contrast with the content's patches, λ_X", ge=0)
    identity_weight: float = setting(
        1.0, "weight of the same for repainted style pictures, λ_Y; 0 skips its work", ge=0
    )
    patches: int = setting(256, "places of each feature that are compared", ge=2)
    projection: int = setting(256, "numbers that a patch is told by", ge=2)
    temperature: float = setting(0.07, "τ: smaller ones look at the most similar patches only", gt=0)
    flip_equivariance: bool = setting(False, "paint half of the pictures mirrored and compare them mirrored back")
    optimizer: OptimizerConfig = setting_of(
        lambda: OptimizerConfig(generator_lr=2e-4, discriminator_lr=2e-4, beta2=0.999), "how the weights are updated"
    )


@dataclass(frozen=True)
class FastcutConfig(CutConfig):
    """The same of fastcut, which does without the identity."""

    name: ClassVar[str] = "fastcut"

    nce_weight: float = setting(10.0, "weight of the contrast with the content's patches, λ_X", ge=0)
    identity_weight: float = setting(
        0.0, "weight of the same for repainted style pictures, λ_Y; 0 skips its work", ge=0
    )
    flip_equivariance: bool = setting(True, "paint half of the pictures mirrored and compare them mirrored back")
