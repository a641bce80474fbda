"""Settings of the methods of unpaired translation: cut, fastcut, cyclegan, stargan, and imported networks of these."""

from dataclasses import dataclass, field
from typing import ClassVar

from atelier.models.configs.architecture import Architecture
from atelier.models.configs.base import (
    DIFFAUGMENT,
    DISCRIMINATORS,
    GENERATORS,
    WIDTH,
    Adversarial,
    DiscriminatorKind,
    GeneratorKind,
    MethodConfig,
    OptimizerConfig,
    Policy,
)
from atelier.models.settings import setting, setting_of


def check_width(method: str, generator: GeneratorKind, width: int) -> None:
    """Refuse a width of its own for the published generators, whose is four times the filters. Raises ValueError."""
    if width and generator not in ("skip", "light"):
        raise ValueError(f"{method}.width is for generators skip and light: set it to 0 for {generator}")


@dataclass(frozen=True)
class CutConfig(MethodConfig):
    """Networks and loss weights of cut."""

    name: ClassVar[str] = "cut"

    filters: int = setting(64, "generator channels at full size", ge=4, le=256)
    width: int = setting(0, WIDTH, ge=0, le=1024)
    blocks: int = setting(9, "residual blocks of the generator", ge=1, le=32)
    generator: GeneratorKind = setting("antialiased", GENERATORS)
    discriminator: DiscriminatorKind = setting("patchgan", DISCRIMINATORS)
    discriminator_filters: int = setting(64, "discriminator channels after its first convolution", ge=4, le=256)
    adversarial: Adversarial = setting("least_squares", "adversarial loss")
    adversarial_weight: float = setting(1.0, "weight of the adversarial loss", ge=0)
    nce_weight: float = setting(1.0, "weight of the contrast with the content's patches, λ_X", ge=0)
    identity_weight: float = setting(
        1.0, "weight of the same for repainted style pictures, λ_Y; 0 skips its work", ge=0
    )
    patches: int = setting(256, "places of each feature that are compared", ge=2)
    projection: int = setting(256, "numbers that a patch is told by", ge=2)
    temperature: float = setting(0.07, "τ: smaller ones look at the most similar patches only", gt=0)
    flip_equivariance: bool = setting(False, "paint half of the pictures mirrored and compare them mirrored back")
    optimizer: OptimizerConfig = setting_of(
        lambda: OptimizerConfig(generator_lr=2e-4, discriminator_lr=2e-4, beta2=0.999), "how the weights are updated"
    )

    def __post_init__(self) -> None:
        """Refuse a width that the generator does not have."""
        check_width(self.name, self.generator, self.width)

    @property
    def architecture(self) -> Architecture:
        """See `MethodConfig.architecture`."""
        return Architecture(self.generator, self.filters, self.width or 4 * self.filters, self.blocks)


@dataclass(frozen=True)
class FastcutConfig(CutConfig):
    """The same of fastcut, which does without the identity."""

    name: ClassVar[str] = "fastcut"

    nce_weight: float = setting(10.0, "weight of the contrast with the content's patches, λ_X", ge=0)
    identity_weight: float = setting(
        0.0, "weight of the same for repainted style pictures, λ_Y; 0 skips its work", ge=0
    )
    flip_equivariance: bool = setting(True, "paint half of the pictures mirrored and compare them mirrored back")


@dataclass(frozen=True)
class CycleganConfig(MethodConfig):
    """Networks, losses and remedies of cyclegan."""

    name: ClassVar[str] = "cyclegan"
    controls: ClassVar[tuple[str, ...]] = ("strength", "direction")

    filters: int = setting(64, "generator channels at full size", ge=4, le=256)
    width: int = setting(0, WIDTH, ge=0, le=1024)
    blocks: int = setting(9, "residual blocks of a generator", ge=1, le=32)
    generator: GeneratorKind = setting("residual", GENERATORS)
    discriminator: DiscriminatorKind = setting("patchgan", DISCRIMINATORS)
    discriminator_filters: int = setting(64, "discriminator channels after its first convolution", ge=4, le=256)
    adversarial: Adversarial = setting("least_squares", "adversarial loss")
    cycle_weight: float = setting(10.0, "weight of cycle consistency, λ", ge=0)
    identity_weight: float = setting(5.0, "weight of the identity loss; 0 skips its work", ge=0)
    pool_size: int = setting(50, "painted pictures that are shown to the discriminator again", ge=0)
    dropout: float = setting(0.0, "share of the channels left out in residual blocks", ge=0, lt=1)
    spectral_norm: bool = setting(False, "spectral norms in the PatchGAN instead of InstanceNorm")
    diffaugment: tuple[Policy, ...] = setting((), DIFFAUGMENT)
    r1_weight: float = setting(0.0, "weight γ of the R1 penalty on the discriminator", ge=0)
    r1_every: int = setting(16, "steps between two R1 penalties", ge=1)
    gradient_penalty_weight: float = setting(10.0, "weight of the gradient penalty that wasserstein needs", ge=0)
    optimizer: OptimizerConfig = setting_of(
        lambda: OptimizerConfig(generator_lr=2e-4, discriminator_lr=2e-4, beta2=0.999), "how the weights are updated"
    )

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        check_width(self.name, self.generator, self.width)
        if self.generator in ("skip", "light") and self.dropout:
            raise ValueError(f"cyclegan.generator {self.generator} has no dropout: set cyclegan.dropout to 0")

    @property
    def architecture(self) -> Architecture:
        """See `MethodConfig.architecture`."""
        return Architecture(self.generator, self.filters, self.width or 4 * self.filters, self.blocks)


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
    diffaugment: tuple[Policy, ...] = setting((), DIFFAUGMENT)
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

    @property
    def labels(self) -> tuple[str, ...]:
        """See `MethodConfig.labels`."""
        return self.attributes

    @property
    def multiple(self) -> int:
        """See `MethodConfig.multiple`: it halves twice."""
        return 4


@dataclass(frozen=True)
class ImportedConfig(MethodConfig):
    """The network that was recognised."""

    name: ClassVar[str] = "imported"

    filters: int = field(metadata={"description": "channels at full size", "ge": 1, "le": 256})
    blocks: int = field(metadata={"description": "residual blocks", "ge": 1, "le": 64})
    antialiased: bool  # whether sizes change as in CUT

    @property
    def architecture(self) -> Architecture:
        """See `MethodConfig.architecture`."""
        return Architecture(
            "antialiased" if self.antialiased else "residual", self.filters, 4 * self.filters, self.blocks
        )
