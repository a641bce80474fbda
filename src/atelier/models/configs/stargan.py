"""Settings of stargan."""

from dataclasses import dataclass, field
from typing import ClassVar

from atelier.models.configs.base import MethodConfig
from atelier.models.configs.choices import DISCRIMINATORS, Adversarial, DiscriminatorKind, Policy
from atelier.models.configs.optimizer import OptimizerConfig


@dataclass(frozen=True)
class StarganConfig(MethodConfig):
    """Attributes, networks and loss weights of stargan."""

    name: ClassVar[str] = "stargan"
    controls: ClassVar[tuple[str, ...]] = ("strength", "to")

    attributes: tuple[str, ...] = field(
        default=(),
        metadata={"description": "what the generator can give: attributes that are true, their values, or domains"},
    )
    exclusive: tuple[str, ...] = field(
        default=(),
        metadata={"description": "those attributes of which a picture has one at most: giving one takes the others"},
    )
    filters: int = field(default=24, metadata={"description": "generator channels at full size", "ge": 4, "le": 256})
    blocks: int = field(default=4, metadata={"description": "residual blocks of the generator", "ge": 1, "le": 32})
    discriminator: DiscriminatorKind = field(default="patchgan", metadata={"description": DISCRIMINATORS})
    discriminator_filters: int = field(
        default=32, metadata={"description": "discriminator channels after its first convolution", "ge": 4, "le": 256}
    )
    discriminator_layers: int = field(
        default=4, metadata={"description": "halvings in the discriminator", "ge": 1, "le": 6}
    )
    classifier_filters: int = field(
        default=16, metadata={"description": "channels of the first layer that tells attributes", "ge": 2, "le": 128}
    )
    diffaugment: tuple[Policy, ...] = field(
        default=(), metadata={"description": "what is augmented before the discriminator: color, translation, cutout"}
    )
    adversarial: Adversarial = field(default="hinge", metadata={"description": "adversarial loss"})
    adversarial_weight: float = field(default=1.0, metadata={"description": "weight of the adversarial loss", "ge": 0})
    classification_weight: float = field(
        default=1.0, metadata={"description": "weight of showing the attributes, λ_cls", "ge": 0}
    )
    reconstruction_weight: float = field(
        default=10.0, metadata={"description": "weight of the way back to the picture, λ_rec", "ge": 0}
    )
    spectral_norm: bool = field(default=True, metadata={"description": "spectral norms in the discriminator"})
    gradient_penalty_weight: float = field(
        default=10.0, metadata={"description": "weight of the gradient penalty that wasserstein needs, λ_gp", "ge": 0}
    )
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-3, beta2=0.99),
        metadata={"description": "how the weights are updated"},
    )

    def __post_init__(self) -> None:
        """Refuse attributes that make no sense together."""
        if len(set(self.attributes)) < len(self.attributes):
            raise ValueError(f"stargan.attributes names one twice: {', '.join(self.attributes)}")
        if unknown := [name for name in self.exclusive if name not in self.attributes]:
            raise ValueError(f"stargan.exclusive names {unknown[0]!r}, which is not in stargan.attributes")
