"""Settings of gan, dcgan, infogan and vae."""

from dataclasses import dataclass
from typing import ClassVar

from atelier.models.configs.base import DIFFAUGMENT, Adversarial, MethodConfig, OptimizerConfig, Policy
from atelier.models.settings import setting, setting_of

LEAST_PX = 4  # a side, of the smallest features
SIZES = (16, 32, 64, 128, 256)  # px: sides that the generators have


@dataclass(frozen=True)
class NoiseConfig(MethodConfig):
    """What all of them have."""

    controls: ClassVar[tuple[str, ...]] = ()
    generates: ClassVar[bool] = True
    sizes: ClassVar[tuple[int, ...]] = SIZES

    size_px: int = setting(0, "side of the pictures, a power of two; 0 takes the training set's", ge=0)
    noise: int = setting(100, "random numbers that a picture is made from", ge=1, le=4096)
    discriminator_filters: int = setting(16, "discriminator channels after its first convolution", ge=4, le=256)
    adversarial: Adversarial = setting("non_saturating", "adversarial loss")
    diffaugment: tuple[Policy, ...] = setting((), DIFFAUGMENT)
    r1_weight: float = setting(1.0, "weight γ of the R1 penalty on the discriminator", ge=0)
    r1_every: int = setting(8, "steps between two R1 penalties", ge=1)
    optimizer: OptimizerConfig = setting_of(
        lambda: OptimizerConfig(generator_lr=5e-4, discriminator_lr=5e-4, beta1=0.0, beta2=0.99),
        "how the weights are updated",
    )

    def __post_init__(self) -> None:
        """Refuse sizes that the networks do not have."""
        if self.size_px and self.size_px not in self.sizes:
            sizes = ", ".join(map(str, self.sizes))
            raise ValueError(
                f"pictures of {self.size_px} px cannot be generated: set augment.size_px to one of {sizes}"
            )


@dataclass(frozen=True)
class DcganConfig(NoiseConfig):
    """Networks and losses of dcgan."""

    name: ClassVar[str] = "dcgan"

    filters: int = setting(32, "generator channels before the picture", ge=4, le=256)


@dataclass(frozen=True)
class GanConfig(NoiseConfig):
    """Networks and losses of gan."""

    name: ClassVar[str] = "gan"

    sizes: ClassVar[tuple[int, ...]] = tuple(size for size in SIZES if size <= 128)

    width: int = setting(512, "numbers in the generator's last hidden layer", ge=8, le=4096)


@dataclass(frozen=True)
class InfoganConfig(DcganConfig):
    """Networks and losses of infogan."""

    name: ClassVar[str] = "infogan"

    noise: int = setting(
        33, "random numbers that a picture is made from; the first of them are its codes", ge=1, le=4096
    )
    categories: tuple[int, ...] = setting((10,), "categories of each code that has some; these are the first codes")
    continuous: int = setting(2, "codes that are numbers, uniform in ±2", ge=0, le=64)
    clustered_pictures: int = setting(
        4096, "training pictures of which the first code's categories begin as clusters; 0 leaves categories to chance",
        ge=0, le=16384,
    )  # fmt: skip
    category_weight: float = setting(1.0, "weight λ of the information in codes of categories", ge=0)
    continuous_weight: float = setting(0.1, "weight λ of the information in continuous codes", ge=0)

    @property
    def codes(self) -> tuple[int, ...]:
        """See `MethodConfig.codes`."""
        return (*self.categories, *(0,) * self.continuous)

    def __post_init__(self) -> None:
        """Refuse codes that there cannot be."""
        super().__post_init__()
        if not all(2 <= count <= 1000 for count in self.categories):
            raise ValueError(f"train.infogan.categories is {self.categories}: a code has 2 to 1000 categories")
        if not 1 <= len(self.codes) <= self.noise:
            raise ValueError(
                f"train.infogan has {len(self.codes)} codes among {self.noise} numbers (noise): at least one code, and "
                "at least as many numbers"
            )


@dataclass(frozen=True)
class VaeConfig(NoiseConfig):
    """Networks and losses of vae."""

    name: ClassVar[str] = "vae"
    reconstructs: ClassVar[bool] = True

    noise: int = setting(128, "numbers that a picture is encoded in and made from", ge=1, le=4096)
    filters: int = setting(32, "channels before the picture, of the decoder and the encoder", ge=4, le=256)
    pixel_weight: float = setting(1.0, "weight of the squared distance of pixels, whose range is 2", ge=0)
    perceptual_weight: float = setting(1.0, "weight of the distance of an encoder's features; 0: a plain VAE", ge=0)
    beta: float = setting(
        0.03, "weight β of the KL divergence in nats per value; the paper's for pixels of variance β / 2", ge=0
    )
    adversarial_weight: float = setting(0.0, "weight of a discriminator: VAE-GAN; 0 has none", ge=0)
    optimizer: OptimizerConfig = setting_of(
        lambda: OptimizerConfig(generator_lr=1e-3, discriminator_lr=5e-4, beta1=0.5, beta2=0.99),
        "how the weights are updated",
    )
