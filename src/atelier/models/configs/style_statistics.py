"""Settings of the methods that take statistics of the style: adain, cin, color, cpgan, fast and gatys."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from atelier.models.configs.architecture import Architecture
from atelier.models.configs.base import PAINTERS, WIDTH, Adversarial, MethodConfig, OptimizerConfig, PainterKind
from atelier.models.settings import setting, setting_of


@dataclass(frozen=True)
class AdainConfig(MethodConfig):
    """Decoder and loss weights of adain."""

    name: ClassVar[str] = "adain"
    controls: ClassVar[tuple[str, ...]] = ("strength", "styles", "regions", "preserve_color")

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


@dataclass(frozen=True)
class CinConfig(MethodConfig):
    """Network, styles and loss weights of cin."""

    name: ClassVar[str] = "cin"
    controls: ClassVar[tuple[str, ...]] = ("strength", "styles", "regions", "preserve_color")

    styles: tuple[str, ...] = setting(
        (), "styles to learn: labels of the style domain's pictures; the first is the default"
    )
    filters: int = setting(16, "generator channels at full size; twice as many at half the size", ge=4, le=256)
    width: int = setting(48, "generator channels at a quarter of the size", ge=8, le=1024)
    blocks: int = setting(5, "residual blocks of the generator", ge=1, le=32)
    content_layer: str = setting("", "feature of the encoder that the content loss compares; empty: the encoder's own")
    content_weight: float = setting(1.0, "weight of the content loss", ge=0)
    style_weight: float = setting(10.0, "weight of the Gram style loss", ge=0)
    style_detail: float = setting(
        1.0, "share of the paintings' detail that the losses ask for; less leaves out the grain of canvas", gt=0, le=1
    )
    total_variation_weight: float = setting(0.5, "weight of total variation", ge=0)
    stability_weight: float = setting(100.0, "weight of painting alike what differs by faint noise", ge=0)
    tone_weight: float = setting(1.0, "weight of the content's light and dark, in the contrast of the style", ge=0)
    palette_weight: float = setting(8.0, "weight of having the style's colours, in its shares", ge=0)
    repetition_weight: float = setting(20.0, "weight of marks that lie in rows", ge=0)
    style_images: int = setting(256, "paintings, of all styles together, that the targets are measured on", ge=1)
    optimizer: OptimizerConfig = setting_of(
        lambda: OptimizerConfig(generator_lr=1e-3, beta1=0.9, beta2=0.999), "how the weights are updated"
    )

    def __post_init__(self) -> None:
        """Refuse styles that are named twice."""
        if len(set(self.styles)) < len(self.styles):
            raise ValueError(f"cin.styles names one twice: {', '.join(self.styles)}")

    @property
    def labels(self) -> tuple[str, ...] | None:
        """See `MethodConfig.labels`."""
        return self.styles or None

    @property
    def architecture(self) -> Architecture:
        """See `MethodConfig.architecture`."""
        return Architecture("light", self.filters, self.width, self.blocks)

    @property
    def multiple(self) -> int:
        """See `MethodConfig.multiple`: what was painted is cut to the size of its picture."""
        return 1

    @property
    def embedded(self) -> str | None:
        """See `MethodConfig.embedded`."""
        return None if self.styles else "efficientnet_lite0"


@dataclass(frozen=True)
class ColorConfig(MethodConfig):
    """What is learned of the style."""

    name: ClassVar[str] = "color"
    strokes: ClassVar[bool] = False  # it changes colours and keeps every detail

    bands: int = setting(4, "of the pyramid; 1 transfers the colours as a whole", ge=1, le=10)
    style_images: int = setting(256, "paintings whose mean statistics are the style", ge=1)


@dataclass(frozen=True)
class CpganConfig(MethodConfig):
    """Networks and loss weights of cpgan."""

    name: ClassVar[str] = "cpgan"

    generator: PainterKind = setting("underpainted", PAINTERS)
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
    repetition_weight: float = setting(0.0, "weight of marks that lie in rows", ge=0)
    style_memory: float = setting(0.9, "share of earlier batches in the mean Gram of what was painted", ge=0, lt=1)
    style_images: int = setting(256, "paintings whose mean Gram matrices are the style target", ge=1)
    optimizer: OptimizerConfig = setting_of(OptimizerConfig, "how the weights are updated")

    @property
    def architecture(self) -> Architecture:
        """See `MethodConfig.architecture`."""
        return Architecture(self.generator, self.filters, self.width, self.blocks)


@dataclass(frozen=True)
class FastConfig(MethodConfig):
    """Network and loss weights of fast."""

    name: ClassVar[str] = "fast"

    generator: PainterKind = setting("underpainted", PAINTERS)
    filters: int = setting(24, "generator channels at full size", ge=4, le=256)
    width: int = setting(0, WIDTH, ge=0, le=1024)
    blocks: int = setting(4, "residual blocks of the generator", ge=1, le=32)
    content_weight: float = setting(0.75, "weight of the content loss", ge=0)
    style_weight: float = setting(10.0, "weight of the Gram style loss", ge=0)
    total_variation_weight: float = setting(0.02, "weight of total variation", ge=0)
    style_memory: float = setting(0.9, "share of earlier batches in the mean Gram of what was painted", ge=0, lt=1)
    style_images: int = setting(256, "paintings whose mean Gram matrices are the style target", ge=1)
    optimizer: OptimizerConfig = setting_of(OptimizerConfig, "how the weights are updated")

    @property
    def architecture(self) -> Architecture:
        """See `MethodConfig.architecture`."""
        return Architecture(self.generator, self.filters, self.width or 4 * self.filters, self.blocks)


@dataclass(frozen=True)
class GatysConfig(MethodConfig):
    """The optimisation that each picture goes through."""

    name: ClassVar[str] = "gatys"
    controls: ClassVar[tuple[str, ...]] = ("strength", "styles", "regions", "preserve_color", "style_weight", "steps")

    algorithm: Literal["lbfgs", "adam"] = setting("lbfgs", "how a picture is optimised; lbfgs needs fewer steps")
    steps: int = setting(50, "steps at each size", ge=1, le=10000)
    scales: int = setting(2, "sizes painted one after the other, each twice the one before", ge=1, le=12)
    learning_rate: float = setting(0.05, "of adam; pictures are in [-1, 1]", gt=0)
    content_weight: float = setting(1.0, "weight of the content loss", ge=0)
    style_weight: float = setting(20.0, "weight of the Gram style loss", ge=0)
    total_variation_weight: float = setting(0.5, "weight of total variation", ge=0)
    style_images: int = setting(256, "paintings whose mean Gram matrices are the trained style", ge=1)
