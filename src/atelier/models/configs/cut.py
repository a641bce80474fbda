"""Settings of cut and fastcut."""

from dataclasses import dataclass, field
from typing import ClassVar

from atelier.models.configs.base import MethodConfig
from atelier.models.configs.choices import DISCRIMINATORS, GENERATORS, Adversarial, DiscriminatorKind, GeneratorKind
from atelier.models.configs.optimizer import OptimizerConfig


@dataclass(frozen=True)
class CutConfig(MethodConfig):
    """Networks and loss weights of cut."""

    name: ClassVar[str] = "cut"

    filters: int = field(default=64, metadata={"description": "generator channels at full size", "ge": 4, "le": 256})
    blocks: int = field(default=9, metadata={"description": "residual blocks of the generator", "ge": 1, "le": 32})
    generator: GeneratorKind = field(default="antialiased", metadata={"description": GENERATORS})
    discriminator: DiscriminatorKind = field(default="patchgan", metadata={"description": DISCRIMINATORS})
    discriminator_filters: int = field(
        default=64, metadata={"description": "discriminator channels after its first convolution", "ge": 4, "le": 256}
    )
    adversarial: Adversarial = field(default="least_squares", metadata={"description": "adversarial loss"})
    adversarial_weight: float = field(default=1.0, metadata={"description": "weight of the adversarial loss", "ge": 0})
    nce_weight: float = field(
        default=1.0, metadata={"description": "weight of the contrast with the content's patches, λ_X", "ge": 0}
    )
    identity_weight: float = field(
        default=1.0,
        metadata={"description": "weight of the same for repainted style pictures, λ_Y; 0 skips its work", "ge": 0},
    )
    patches: int = field(default=256, metadata={"description": "places of each feature that are compared", "ge": 2})
    projection: int = field(default=256, metadata={"description": "numbers that a patch is told by", "ge": 2})
    temperature: float = field(
        default=0.07, metadata={"description": "τ: smaller ones look at the most similar patches only", "gt": 0}
    )
    flip_equivariance: bool = field(
        default=False, metadata={"description": "paint half of the pictures mirrored and compare them mirrored back"}
    )
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(generator_lr=2e-4, discriminator_lr=2e-4, beta2=0.999),
        metadata={"description": "how the weights are updated"},
    )


@dataclass(frozen=True)
class FastcutConfig(CutConfig):
    """The same of fastcut, which does without the identity."""

    name: ClassVar[str] = "fastcut"

    nce_weight: float = field(
        default=10.0, metadata={"description": "weight of the contrast with the content's patches, λ_X", "ge": 0}
    )
    identity_weight: float = field(
        default=0.0,
        metadata={"description": "weight of the same for repainted style pictures, λ_Y; 0 skips its work", "ge": 0},
    )
    flip_equivariance: bool = field(
        default=True, metadata={"description": "paint half of the pictures mirrored and compare them mirrored back"}
    )
