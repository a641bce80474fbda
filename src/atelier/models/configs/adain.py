"""Settings of adain."""

from dataclasses import dataclass, field
from typing import ClassVar

from atelier.models.configs.base import MethodConfig
from atelier.models.configs.choices import Adversarial
from atelier.models.configs.optimizer import OptimizerConfig


@dataclass(frozen=True)
class AdainConfig(MethodConfig):
    """Decoder and loss weights of adain."""

    name: ClassVar[str] = "adain"
    controls: ClassVar[tuple[str, ...]] = ("strength", "styles", "preserve_color")

    filters: int = field(
        default=32, metadata={"description": "decoder channels at full size; the paper's has 64", "ge": 4, "le": 256}
    )
    content_weight: float = field(default=1.0, metadata={"description": "weight of the content loss", "ge": 0})
    style_weight: float = field(default=4.0, metadata={"description": "weight λ of the style loss", "ge": 0})
    adversarial: Adversarial = field(default="least_squares", metadata={"description": "adversarial loss"})
    adversarial_weight: float = field(
        default=0.0, metadata={"description": "weight of the adversarial loss; 0 trains no discriminator", "ge": 0}
    )
    discriminator_filters: int = field(
        default=32, metadata={"description": "discriminator channels after its first convolution", "ge": 4, "le": 256}
    )
    style_images: int = field(
        default=256, metadata={"description": "paintings whose mean statistics are the trained style", "ge": 1}
    )
    detail: float = field(
        default=1.0,
        metadata={
            "description": "share of what the decoder loses of a picture that is given back to it",
            "ge": 0,
            "le": 1,
        },
    )
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(generator_lr=1e-3, beta1=0.9, beta2=0.999),
        metadata={"description": "how the weights are updated"},
    )
