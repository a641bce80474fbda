"""Settings of stylegan."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from atelier.models.configs.base import OptimizerConfig
from atelier.models.configs.gan import LEAST_PX, NoiseConfig
from atelier.models.settings import setting, setting_of

# layers, Karras et al. 2019, figure 3: coarse styles are those of 4² and 8² positions, middle ones of 16² and 32²
COARSE, MIDDLE, FINE = slice(0, 3), slice(3, 7), slice(7, None)


@dataclass(frozen=True)
class StyleganConfig(NoiseConfig):
    """Networks and losses of stylegan."""

    name: ClassVar[str] = "stylegan"

    noise: int = setting(
        64, "random numbers that a picture is made from; the first of them decide on its attributes", ge=2, le=4096
    )
    latent: int = setting(256, "numbers of the latent w, which the styles of all layers follow from", ge=1, le=4096)
    filters: int = setting(16, "generator channels at full size; they double with each halving", ge=4, le=256)
    mixing: float = setting(0.5, "share of pictures whose finer layers have another latent", ge=0, le=1)
    attributes: tuple[str, ...] = setting((), "labels that pictures are generated with, as their codes")
    discriminator: Literal["plain", "projected"] = setting(
        "plain", "plain: StyleGAN2's, with R1; or projected: sees pictures by the encoder, quick, with less variety"
    )
    discriminator_filters: int = setting(
        16, "discriminator channels: of each mixture of features, or plain at full size", ge=4, le=512
    )
    # one loss more than the other methods have
    adversarial: Literal["hinge", "non_saturating", "relativistic"] = setting(  # type: ignore[assignment]
        "non_saturating", "adversarial loss; relativistic with R2 is R3GAN's"
    )
    r1_every: int = setting(16, "steps between two penalties", ge=1)
    r2_weight: float = setting(0.0, "weight γ of R1's penalty on generated pictures", ge=0)
    optimizer: OptimizerConfig = setting_of(
        lambda: OptimizerConfig(generator_lr=2.5e-3, discriminator_lr=1.5e-3, beta1=0.0, beta2=0.99),
        "how the weights are updated",
    )

    def __post_init__(self) -> None:
        """Refuse sizes that the networks do not have, and more attributes than noise."""
        super().__post_init__()
        if len(self.attributes) >= self.noise:
            raise ValueError(
                f"noise is {self.noise}: it must be above the number of attributes, {len(self.attributes)}"
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
