"""Colour management: pictures are converted to sRGB by their ICC profile, and outputs are tagged as sRGB.

A picture whose profile is damaged, or of another colour space, is assumed to be sRGB.
"""

import io
from functools import lru_cache

from PIL import Image, ImageCms

UNUSABLE = (ImageCms.PyCMSError, OSError, ValueError, TypeError)  # errors of littlecms about such profiles
_VOLATILE = slice(24, 36)  # date of creation in a profile's header


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB, CMYK or grey to sRGB, by its ICC profile where that is usable."""
    if profile:
        try:
            return ImageCms.applyTransform(image, _transform(profile, image.mode)) or image
        except UNUSABLE:
            pass
    return image.convert("RGB")


def to_cmyk(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes]:
    """sRGB to CMYK, the inverse of `to_srgb`, and the ICC profile of the result, b"" for none."""
    if profile:
        try:
            return ImageCms.applyTransform(image, _transform_back(profile)) or image, profile
        except UNUSABLE:
            pass
    return image.convert("CMYK"), b""


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """The ICC profile of sRGB; always the same bytes."""
    profile = bytearray(_srgb().tobytes())
    profile[_VOLATILE] = bytes(_VOLATILE.stop - _VOLATILE.start)
    return bytes(profile)


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """The transform to sRGB, cached: building it costs more than applying it, and archives have few profiles."""
    return ImageCms.buildTransform(ImageCms.ImageCmsProfile(io.BytesIO(profile)), _srgb(), mode, "RGB")


@lru_cache(maxsize=16)
def _transform_back(profile: bytes) -> ImageCms.ImageCmsTransform:
    """The transform from sRGB to CMYK."""
    return ImageCms.buildTransform(_srgb(), ImageCms.ImageCmsProfile(io.BytesIO(profile)), "RGB", "CMYK")


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
