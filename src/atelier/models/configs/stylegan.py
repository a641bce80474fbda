"""Settings of stylegan."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from atelier.models.configs.base import DIFFAUGMENT, MethodConfig, OptimizerConfig, Policy
from atelier.models.configs.gan import SIZES
from atelier.models.settings import setting, setting_of

LEAST_PX = 4  # side of the smallest features


@dataclass(frozen=True)
class StyleganConfig(MethodConfig):
    """Networks and losses of stylegan."""

    name: ClassVar[str] = "stylegan"
    controls: ClassVar[tuple[str, ...]] = ()
    generates: ClassVar[bool] = True

    size_px: int = setting(0, "side of the pictures, a power of two; 0 takes the training set's", ge=0)
    noise: int = setting(
        64, "random numbers that a picture is made from; the first of them decide on its attributes", ge=2, le=4096
    )
    latent: int = setting(256, "numbers of the latent w, which the styles of all layers follow from", ge=1, le=4096)
    filters: int = setting(32, "generator channels at full size; they double with each halving", ge=4, le=256)
    mixing: float = setting(0.9, "share of pictures whose finer layers have another latent", ge=0, le=1)
    attributes: tuple[str, ...] = setting((), "labels that pictures are generated with, as their codes")
    discriminator: Literal["projected", "plain"] = setting(
        "projected", "projected: sees pictures by the encoder, for short trainings; or plain, StyleGAN2's, with R1"
    )
    discriminator_filters: int = setting(
        64, "discriminator channels: of each mixture of features, or plain at full size", ge=4, le=512
    )
    adversarial: Literal["hinge", "non_saturating", "relativistic"] = setting("hinge", "adversarial loss")
    diffaugment: tuple[Policy, ...] = setting(("color", "translation", "cutout"), DIFFAUGMENT)
    r1_weight: float = setting(0.0, "weight γ of the R1 penalty on the discriminator", ge=0)
    r2_weight: float = setting(0.0, "weight γ of the same on generated pictures", ge=0)
    r1_every: int = setting(8, "steps between two penalties", ge=1)
    optimizer: OptimizerConfig = setting_of(
        lambda: OptimizerConfig(generator_lr=2e-3, discriminator_lr=2e-3, beta1=0.0, beta2=0.99),
        "how the weights are updated",
    )

    def __post_init__(self) -> None:
        """Refuse sizes that the networks do not have, and more attributes than noise."""
        if len(self.attributes) >= self.noise:
            raise ValueError(
                f"noise is {self.noise}: it must be above the number of attributes, {len(self.attributes)}"
            )
        if self.size_px and self.size_px not in SIZES:
            sizes = ", ".join(map(str, SIZES))
            raise ValueError(
                f"pictures of {self.size_px} px cannot be generated: set augment.size_px to one of {sizes}"
            )

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The attributes, or None."""
        return self.attributes or None

    @property
    def codes(self) -> tuple[int, ...]:
        """One of two categories for each attribute: 0, without it; 1, with it."""
        return (2,) * len(self.attributes)

    @property
    def layers(self) -> int:
        """Two for each size, and one for the smallest."""
        return 2 * (self.size_px // LEAST_PX).bit_length() - 1
