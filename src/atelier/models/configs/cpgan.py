"""Settings of cpgan."""

from dataclasses import dataclass, field
from typing import ClassVar

from atelier.models.configs.base import MethodConfig
from atelier.models.configs.choices import Adversarial
from atelier.models.configs.optimizer import OptimizerConfig


@dataclass(frozen=True)
class CpganConfig(MethodConfig):
    """Networks and loss weights of cpgan."""

    name: ClassVar[str] = "cpgan"

    filters: int = field(default=16, metadata={"description": "generator channels at full size", "ge": 4, "le": 256})
    width: int = field(
        default=96, metadata={"description": "generator channels at a quarter of the size", "ge": 8, "le": 1024}
    )
    blocks: int = field(default=4, metadata={"description": "residual blocks of the generator", "ge": 1, "le": 32})
    discriminator_filters: int = field(
        default=32, metadata={"description": "discriminator channels after its first convolution", "ge": 4, "le": 256}
    )
    discriminator_layers: int = field(
        default=3, metadata={"description": "halvings in the discriminator", "ge": 1, "le": 5}
    )
    adversarial: Adversarial = field(default="hinge", metadata={"description": "adversarial loss"})
    adversarial_weight: float = field(default=1.0, metadata={"description": "weight of the adversarial loss", "ge": 0})
    content_weight: float = field(default=0.75, metadata={"description": "weight of the content loss", "ge": 0})
    style_weight: float = field(default=10.0, metadata={"description": "weight of the Gram style loss", "ge": 0})
    luminance_weight: float = field(
        default=2.0, metadata={"description": "weight of the luminance loss, which keeps light light", "ge": 0}
    )
    identity_weight: float = field(
        default=0.0,
        metadata={"description": "weight of the identity loss; above 0 the style pictures are painted too", "ge": 0},
    )
    total_variation_weight: float = field(default=0.0, metadata={"description": "weight of total variation", "ge": 0})
    style_memory: float = field(
        default=0.9,
        metadata={"description": "share of earlier batches in the mean Gram of what was painted", "ge": 0, "lt": 1},
    )
    style_images: int = field(
        default=256, metadata={"description": "paintings whose mean Gram matrices are the style target", "ge": 1}
    )
    optimizer: OptimizerConfig = field(
        default_factory=OptimizerConfig, metadata={"description": "how the weights are updated"}
    )
