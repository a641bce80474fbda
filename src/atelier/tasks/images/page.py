"""A picture as samples, for what Pillow's modes do not hold: 16-bit colour."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atelier.tasks.images.color import to_srgb


@dataclass(frozen=True)
class Page:
    """A decoded page or picture, upright."""

    samples: NDArray[Any]  # (H, W) or (H, W, C) bool, uint8 or uint16: without alpha
    mode: str  # "1", "L", "RGB" or "CMYK" (8 bits only)
    alpha: NDArray[Any] | None  # (H, W), of the samples' type
    profile: bytes | None  # ICC

    @property
    def image(self) -> Image.Image:
        """The page with 8 bits and its profile; CMYK with alpha as sRGB, since Pillow has no such mode."""
        samples, profile = eight_bits(self.samples), self.profile
        image = (
            Image.frombytes("CMYK", samples.shape[1::-1], samples) if self.mode == "CMYK" else Image.fromarray(samples)
        )
        if self.alpha is not None:
            if self.mode == "CMYK":
                image, profile = to_srgb(image, profile), None
            image.putalpha(Image.fromarray(eight_bits(self.alpha)))
        if profile:
            image.info["icc_profile"] = profile
        return image


class PageReader(Protocol):
    """A page that is not decoded yet."""

    width: int  # px
    height: int

    def read(self) -> Page:
        """Decode the page. Raises `Unreadable` where it is of an unsupported kind, ValueError where it is damaged."""


def eight_bits(samples: NDArray[Any]) -> NDArray[Any]:
    """Samples of 16 bits rounded to 8; others as they are."""
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8) if samples.dtype == np.uint16 else samples


def oriented(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(H, W) or (H, W, C) rotated and mirrored by an EXIF orientation, 1…8."""
    if orientation in (5, 6, 7, 8):
        samples = np.swapaxes(samples, 0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return np.ascontiguousarray(samples)
