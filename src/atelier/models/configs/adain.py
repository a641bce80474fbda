"""Settings of adain."""

from dataclasses import dataclass
from typing import ClassVar

from atelier.models.configs.base import MethodConfig
from atelier.models.configs.choices import Adversarial
from atelier.models.configs.optimizer import OptimizerConfig
from atelier.models.settings import setting, setting_of


@dataclass(frozen=True)
class AdainConfig(MethodConfig):
    """Decoder and loss weights of adain."""

    name: ClassVar[str] = "adain"
    controls: ClassVar[tuple[str, ...]] = ("strength", "styles", "preserve_color")

    filters: int = setting(32, "decoder channels at full size; the paper's has 64", ge=4, le=256)
    content_weight: float = setting(1.0, "weight of the content loss", ge=0)
    style_weight: float = setting(4.0, "weight λ of the style loss", ge=0)
    adversarial: Adversarial = setting("least_squares", "adversarial loss")
    adversarial_weight: float = setting(0.0, "weight of the adversarial loss; 0 trains no discriminator", ge=0)
    discriminator_filters: int = setting(32, "discriminator channels after its first convolution", ge=4, le=256)
    style_images: int = setting(256, "paintings whose mean statistics are the trained style", ge=1)
    detail: float = setting(1.0, "share of what the decoder loses of a picture that is given back to it", ge=0, le=1)
    optimizer: OptimizerConfig = setting_of(
        lambda: OptimizerConfig(generator_lr=1e-3, beta1=0.9, beta2=0.999), "how the weights are updated"
    )
