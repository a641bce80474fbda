"""Colour: every picture becomes sRGB for the model, by its ICC profile, and every output says that it is sRGB.

A profile that is damaged, or of another colour space than its picture, is taken for sRGB: that is the best guess.
"""

import io
from functools import lru_cache

from PIL import Image, ImageCms

UNUSABLE = (ImageCms.PyCMSError, OSError, ValueError, TypeError)  # what littlecms raises on such profiles
_VOLATILE = slice(24, 36)  # the date of its making, in a profile's header


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB, CMYK or grey to RGB, by its ICC profile where that is usable."""
    if profile:
        try:
            return ImageCms.applyTransform(image, _transform(profile, image.mode)) or image
        except UNUSABLE:
            pass
    return image.convert("RGB")


def to_cmyk(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes]:
    """RGB to CMYK as it was before `to_srgb`, and the profile that the result is to be tagged with, b"" where none."""
    if profile:
        try:
            return ImageCms.applyTransform(image, _transform_back(profile)) or image, profile
        except UNUSABLE:
            pass
    return image.convert("CMYK"), b""


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """The ICC profile of sRGB, the same bytes at any time."""
    profile = bytearray(_srgb().tobytes())
    profile[_VOLATILE] = bytes(_VOLATILE.stop - _VOLATILE.start)
    return bytes(profile)


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """The transform to sRGB: building one costs more than applying it, and archives repeat few profiles."""
    return ImageCms.buildTransform(ImageCms.ImageCmsProfile(io.BytesIO(profile)), _srgb(), mode, "RGB")


@lru_cache(maxsize=16)
def _transform_back(profile: bytes) -> ImageCms.ImageCmsTransform:
    """The transform from sRGB to CMYK."""
    return ImageCms.buildTransform(_srgb(), ImageCms.ImageCmsProfile(io.BytesIO(profile)), "RGB", "CMYK")


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
