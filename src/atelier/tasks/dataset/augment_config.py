"""Settings of augmentation: `augment` in params.yaml."""

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class DomainAugmentation:
    """What may happen to a picture of one domain. Every amount is drawn evenly from its range for each variant."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    flip_horizontal: float = field(
        default=0.5, metadata={"description": "probability of a left-right flip, 0…1", "ge": 0, "le": 1}
    )
    flip_vertical: float = field(
        default=0.0, metadata={"description": "probability of an upside-down flip, 0…1", "ge": 0, "le": 1}
    )
    crop_area: tuple[float, float] = field(
        default=(0.6, 1.0),
        metadata={"description": "area of the random square crop as a share of the largest square in the picture, 0…1"},
    )
    rotation_deg: float = field(
        default=3.0,
        metadata={
            "description": "largest rotation to either side, in degrees; borders are mirrored",
            "ge": 0,
            "le": 180,
        },
    )
    brightness: float = field(
        default=0.0, metadata={"description": "largest shift of brightness, as a share of white", "ge": 0, "le": 1}
    )
    contrast: float = field(
        default=0.0, metadata={"description": "largest relative change of contrast", "ge": 0, "le": 1}
    )
    saturation: float = field(
        default=0.0, metadata={"description": "largest relative change of saturation", "ge": 0, "le": 1}
    )
    hue_deg: float = field(
        default=0.0, metadata={"description": "largest turn of the hue, in degrees", "ge": 0, "le": 180}
    )
    blur_probability: float = field(
        default=0.0, metadata={"description": "probability of a Gaussian blur, 0…1", "ge": 0, "le": 1}
    )
    blur_sigma_px: tuple[float, float] = field(
        default=(0.3, 1.0), metadata={"description": "standard deviation of the blur, in output pixels"}
    )
    noise_probability: float = field(
        default=0.0, metadata={"description": "probability of Gaussian noise, 0…1", "ge": 0, "le": 1}
    )
    noise_std: tuple[float, float] = field(
        default=(0.005, 0.02), metadata={"description": "standard deviation of the noise, as a share of white"}
    )

    def __post_init__(self) -> None:
        """Refuse ranges that are none."""
        for name, least, most in (("crop_area", 0.01, 1.0), ("blur_sigma_px", 0.0, 16.0), ("noise_std", 0.0, 1.0)):
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(f"augment: {name} is ({low}, {high}), must be a range within {least}…{most}")


# A photograph may come from any camera; the colours of a painting are its style, and stay as they are.
_PHOTOS = DomainAugmentation(brightness=0.05, contrast=0.1, saturation=0.1)


@dataclass(frozen=True)
class AugmentConfig:
    """How the training set is made from the dataset."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    size_px: int = field(
        default=128, metadata={"description": "width and height of a training picture, in pixels", "ge": 16, "le": 2048}
    )
    copies: int = field(default=3, metadata={"description": "variants of each picture", "ge": 1, "le": 1000})
    seed: int = field(default=0, metadata={"description": "seed of every random draw", "ge": 0})
    default: DomainAugmentation = field(
        default_factory=DomainAugmentation, metadata={"description": "settings of every domain not named below"}
    )
    domains: dict[str, DomainAugmentation] = field(
        default_factory=lambda: {"photos": _PHOTOS}, metadata={"description": "settings of single domains, by name"}
    )

    def of(self, domain: str) -> DomainAugmentation:
        """The settings of a domain."""
        return self.domains.get(domain, self.default)
