"""One variant of a picture: the pixels of augmentation, by kornia."""

import hashlib

import kornia
import numpy as np
import torch

from atelier.tasks.dataset.augment_config import AugmentConfig, DomainAugmentation
from atelier.tasks.images import codec


def variant(config: AugmentConfig, picture: codec.Pixels, domain: str, row_id: str, copy: int) -> codec.Pixels:
    """One variant of a picture: a function of its arguments alone.

    Args:
        picture: uint8 (H, W, 3).
        copy: number of the variant, from 0.

    Returns:
        uint8 (size_px, size_px, 3).
    """
    settings = config.of(domain)
    digest = hashlib.sha256(f"{config.seed}/{row_id}/{copy}".encode()).digest()
    rng = np.random.default_rng(np.frombuffer(digest, np.uint32))
    picture = _rotate(picture, rng.uniform(-settings.rotation_deg, settings.rotation_deg))
    picture = _crop(picture, rng.uniform(*settings.crop_area), rng.random(), rng.random())
    flips = (rng.random() < settings.flip_vertical, rng.random() < settings.flip_horizontal)
    picture = codec.resize(picture, config.size_px, config.size_px)
    return _from_tensor(_retouch(_flip(_to_tensor(picture), *flips), settings, rng))


def _rotate(picture: codec.Pixels, angle_deg: float) -> codec.Pixels:
    """Rotated about its centre at its own size, with mirrored borders: no corner turns black."""
    if angle_deg == 0:
        return picture
    angle = torch.tensor([angle_deg], dtype=torch.float32)
    # bilinear loses up to a quarter of the finest contrast, and paintings would be learned too soft
    turned = kornia.geometry.transform.rotate(_to_tensor(picture), angle, mode="bicubic", padding_mode="reflection")
    return _from_tensor(turned)


def _crop(picture: codec.Pixels, area: float, across: float, down: float) -> codec.Pixels:
    """A square of a share of the largest square's area, at a position given as two shares of the free space."""
    height, width = picture.shape[:2]
    side = max(1, round(area**0.5 * min(height, width)))
    top, left = round(down * (height - side)), round(across * (width - side))
    return picture[top : top + side, left : left + side]


def _flip(x: torch.Tensor, vertical: bool, horizontal: bool) -> torch.Tensor:
    if vertical:
        x = kornia.geometry.transform.vflip(x)
    return kornia.geometry.transform.hflip(x) if horizontal else x


def _retouch(x: torch.Tensor, settings: DomainAugmentation, rng: np.random.Generator) -> torch.Tensor:
    """Colour, blur and noise on a picture (1, 3, H, W) in [0, 1]; every draw is made, whether it is used or not."""
    brightness, contrast, saturation = (
        rng.uniform(-amount, amount) for amount in (settings.brightness, settings.contrast, settings.saturation)
    )
    hue = np.deg2rad(rng.uniform(-settings.hue_deg, settings.hue_deg))
    blurred, noisy = rng.random() < settings.blur_probability, rng.random() < settings.noise_probability
    sigma, std = rng.uniform(*settings.blur_sigma_px), rng.uniform(*settings.noise_std)
    if brightness:
        x = kornia.enhance.adjust_brightness(x, brightness)
    if contrast:
        x = kornia.enhance.adjust_contrast_with_mean_subtraction(x, 1 + contrast)
    if saturation:
        x = kornia.enhance.adjust_saturation(x, 1 + saturation)
    if hue:
        x = kornia.enhance.adjust_hue(x, hue)
    if blurred and sigma > 0:
        size = 2 * int(np.ceil(3 * sigma)) + 1
        x = kornia.filters.gaussian_blur2d(x, size, (sigma, sigma))
    if noisy:
        x = x + torch.from_numpy(rng.normal(0, std, tuple(x.shape))).to(x.dtype)
    return x.clamp(0, 1)


def _to_tensor(picture: codec.Pixels) -> torch.Tensor:
    """From uint8 (H, W, 3) to float (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255


def _from_tensor(x: torch.Tensor) -> codec.Pixels:
    """From float (1, 3, H, W) in [0, 1] to uint8 (H, W, 3)."""
    return (x[0] * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
