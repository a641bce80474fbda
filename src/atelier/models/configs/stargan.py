"""Settings of stargan."""

from dataclasses import dataclass
from typing import ClassVar

from atelier.models.configs.base import MethodConfig
from atelier.models.configs.choices import DISCRIMINATORS, Adversarial, DiscriminatorKind, Policy
from atelier.models.configs.optimizer import OptimizerConfig
from atelier.models.settings import setting, setting_of


@dataclass(frozen=True)
class StarganConfig(MethodConfig):
    """Attributes, networks and loss weights of stargan."""

    name: ClassVar[str] = "stargan"
    controls: ClassVar[tuple[str, ...]] = ("strength", "to")

    attributes: tuple[str, ...] = setting(
        (), "what the generator can give: attributes that are true, their values, or domains"
    )
    exclusive: tuple[str, ...] = setting(
        (), "those attributes of which a picture has one at most: giving one takes the others"
    )
    filters: int = setting(24, "generator channels at full size", ge=4, le=256)
    blocks: int = setting(4, "residual blocks of the generator", ge=1, le=32)
    discriminator: DiscriminatorKind = setting("patchgan", DISCRIMINATORS)
    discriminator_filters: int = setting(32, "discriminator channels after its first convolution", ge=4, le=256)
    discriminator_layers: int = setting(4, "halvings in the discriminator", ge=1, le=6)
    classifier_filters: int = setting(16, "channels of the first layer that tells attributes", ge=2, le=128)
    diffaugment: tuple[Policy, ...] = setting(
        (), "what is augmented before the discriminator: color, translation, cutout"
    )
    adversarial: Adversarial = setting("hinge", "adversarial loss")
    adversarial_weight: float = setting(1.0, "weight of the adversarial loss", ge=0)
    classification_weight: float = setting(1.0, "weight of showing the attributes, λ_cls", ge=0)
    reconstruction_weight: float = setting(10.0, "weight of the way back to the picture, λ_rec", ge=0)
    spectral_norm: bool = setting(True, "spectral norms in the discriminator")
    gradient_penalty_weight: float = setting(10.0, "weight of the gradient penalty that wasserstein needs, λ_gp", ge=0)
    optimizer: OptimizerConfig = setting_of(
        lambda: OptimizerConfig(generator_lr=1e-3, discriminator_lr=1e-3, beta2=0.99), "how the weights are updated"
    )

    def __post_init__(self) -> None:
        """Refuse attributes that make no sense together."""
        if len(set(self.attributes)) < len(self.attributes):
            raise ValueError(f"stargan.attributes names one twice: {', '.join(self.attributes)}")
        if unknown := [name for name in self.exclusive if name not in self.attributes]:
            raise ValueError(f"stargan.exclusive names {unknown[0]!r}, which is not in stargan.attributes")
