"""Images with 16 bits a sample: read without loss, painted as floats, written without loss.

Pillow reads 16-bit grey, but cuts 16-bit colour to 8 bits. imagecodecs reads it, after Pillow has checked the file.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from atelier.tasks.images import icc
from atelier.tasks.images.formats import Unreadable
from atelier.tasks.images.modes import orientation, upright
from atelier.tasks.images.more_formats import BIT_DEPTH
from atelier.tasks.images.page import Page, oriented

SixteenBit = NDArray[np.float32]  # (H, W, 3) sRGB in [-1, 1], with the precision of 16 bits
Samples = NDArray[np.uint16]  # (H, W) or (H, W, C)

LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue: ITU-R 601, as in Pillow
_COLOURS, _GREY_AND_ALPHA = BIT_DEPTH + 1, 4  # offset in a PNG file, and a value there


def is_sixteen_bit(image: Image.Image, data: bytes) -> bool:
    """Whether an opened image has 16 bits a sample and `read` supports it."""
    if image.format == "PNG":
        return data[BIT_DEPTH] == 16 and getattr(image, "n_frames", 1) == 1
    return image.mode.startswith("I;16")


def read(image: Image.Image, data: bytes) -> Page:
    """Read a loaded image that `is_sixteen_bit` again from its file, with all its bits.

    Raises:
        Unreadable: imagecodecs and Pillow disagree about its size or depth.
    """
    if image.format == "PNG":
        import imagecodecs

        found = imagecodecs.png_decode(data)  # (H, W) or (H, W, C), alpha last: a transparent colour becomes one
    else:
        found = np.asarray(image).astype(np.uint16)  # of either byte order
    if found.dtype != np.uint16 or found.shape[:2] != image.size[::-1]:
        raise Unreadable("its 16-bit samples cannot be read: convert the file to 8 bits")
    found = np.atleast_3d(oriented(found, orientation(image)))
    channels = found.shape[2]
    colour, alpha = found[..., : 1 if channels < 3 else 3], found[..., -1] if channels in (2, 4) else None
    mode = "L" if channels < 3 else "RGB"
    return Page(colour[..., 0] if mode == "L" else colour, mode, alpha, image.info.get("icc_profile"))


def upright_image(image: Image.Image, data: bytes) -> Image.Image:
    """A loaded image of any depth, upright, as Pillow's image of 8 bits; grey may keep its 16."""
    cut = image.mode == "RGB" and "transparency" in image.info  # Pillow looks for this colour in cut samples
    coloured = image.format == "PNG" and data[_COLOURS] == _GREY_AND_ALPHA  # which Pillow reads as RGBA
    return read(image, data).image if (cut or coloured) and is_sixteen_bit(image, data) else upright(image)


def to_float(samples: Samples, profile: bytes | None) -> SixteenBit:
    """(H, W) or (H, W, 3) in 0…65535 to (H, W, 3) sRGB in [-1, 1], by an ICC profile that `icc` supports."""
    values = icc.to_srgb(samples, profile)
    return 2 * (values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)) - 1


def from_float(painted: SixteenBit, *, grey: bool) -> Samples:
    """(H, W, 3) in [-1, 1] to 0…65535, rounded: (H, W) luma for grey, else (H, W, 3)."""
    values = painted @ LUMA if grey else painted
    return np.asarray(np.clip(np.rint((values + 1) * 32767.5), 0, 65535), dtype=np.uint16)
