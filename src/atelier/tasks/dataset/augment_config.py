"""Settings of augmentation: `augment` in params.yaml."""

from dataclasses import dataclass

from atelier.models.settings import Settings, setting, setting_of


@dataclass(frozen=True)
class DomainAugmentation(Settings):
    """What may happen to a picture of one domain. Every amount is drawn evenly from its range for each variant."""

    flip_horizontal: float = setting(0.5, "probability of a left-right flip, 0…1", ge=0, le=1)
    flip_vertical: float = setting(0.0, "probability of an upside-down flip, 0…1", ge=0, le=1)
    crop_area: tuple[float, float] = setting(
        (0.6, 1.0), "area of the random square crop as a share of the largest square in the picture, 0…1"
    )
    rotation_deg: float = setting(
        3.0, "largest rotation to either side, in degrees; borders are mirrored", ge=0, le=180
    )
    brightness: float = setting(0.0, "largest shift of brightness, as a share of white", ge=0, le=1)
    contrast: float = setting(0.0, "largest relative change of contrast", ge=0, le=1)
    saturation: float = setting(0.0, "largest relative change of saturation", ge=0, le=1)
    hue_deg: float = setting(0.0, "largest turn of the hue, in degrees", ge=0, le=180)
    blur_probability: float = setting(0.0, "probability of a Gaussian blur, 0…1", ge=0, le=1)
    blur_sigma_px: tuple[float, float] = setting((0.3, 1.0), "standard deviation of the blur, in output pixels")
    noise_probability: float = setting(0.0, "probability of Gaussian noise, 0…1", ge=0, le=1)
    noise_std: tuple[float, float] = setting((0.005, 0.02), "standard deviation of the noise, as a share of white")

    def __post_init__(self) -> None:
        """Refuse empty ranges and ranges out of bounds."""
        for name, least, most in (("crop_area", 0.01, 1.0), ("blur_sigma_px", 0.0, 16.0), ("noise_std", 0.0, 1.0)):
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(f"augment: {name} is ({low}, {high}), must be a range within {least}…{most}")


# A photograph may come from any camera; the colours of a painting are its style, and stay as they are.
_PHOTOS = DomainAugmentation(brightness=0.05, contrast=0.1, saturation=0.1)


@dataclass(frozen=True)
class AugmentConfig(Settings):
    """How the training set is made from the dataset."""

    size_px: int = setting(128, "width and height of a training picture, in pixels", ge=16, le=2048)
    copies: int = setting(3, "variants of each picture", ge=1, le=1000)
    held_out: bool = setting(False, "also keep a variant of each held-out picture, for train.patience")
    seed: int = setting(0, "seed of every random draw", ge=0)
    default: DomainAugmentation = setting_of(DomainAugmentation, "settings of every domain not named below")
    domains: dict[str, DomainAugmentation] = setting_of(
        lambda: {"photos": _PHOTOS}, "settings of single domains, by name"
    )

    def of(self, domain: str) -> DomainAugmentation:
        """The settings of a domain."""
        return self.domains.get(domain, self.default)
