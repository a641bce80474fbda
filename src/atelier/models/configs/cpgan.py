"""Settings of cpgan."""

from dataclasses import dataclass
from typing import ClassVar

from atelier.models.configs.base import MethodConfig
from atelier.models.configs.choices import Adversarial
from atelier.models.configs.optimizer import OptimizerConfig
from atelier.models.settings import setting, setting_of


@dataclass(frozen=True)
class CpganConfig(MethodConfig):
    """Networks and loss weights of cpgan."""

    name: ClassVar[str] = "cpgan"

    filters: int = setting(16, "generator channels at full size", ge=4, le=256)
    width: int = setting(96, "generator channels at a quarter of the size", ge=8, le=1024)
    blocks: int = setting(4, "residual blocks of the generator", ge=1, le=32)
    discriminator_filters: int = setting(32, "discriminator channels after its first convolution", ge=4, le=256)
    discriminator_layers: int = setting(3, "halvings in the discriminator", ge=1, le=5)
    adversarial: Adversarial = setting("hinge", "adversarial loss")
    adversarial_weight: float = setting(1.0, "weight of the adversarial loss", ge=0)
    content_weight: float = setting(0.75, "weight of the content loss", ge=0)
    style_weight: float = setting(10.0, "weight of the Gram style loss", ge=0)
    luminance_weight: float = setting(2.0, "weight of the luminance loss, which keeps light light", ge=0)
    identity_weight: float = setting(
        0.0, "weight of the identity loss; above 0 the style pictures are painted too", ge=0
    )
    total_variation_weight: float = setting(0.0, "weight of total variation", ge=0)
    style_memory: float = setting(0.9, "share of earlier batches in the mean Gram of what was painted", ge=0, lt=1)
    style_images: int = setting(256, "paintings whose mean Gram matrices are the style target", ge=1)
    optimizer: OptimizerConfig = setting_of(OptimizerConfig, "how the weights are updated")
