"""Images with 16 bits a sample: read without loss, painted as floats, written without loss.

Pillow reads 16-bit grey, but cuts 16-bit colour to 8 bits. OpenCV reads it, after Pillow has checked the file.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin

from atelier.tasks.images import icc
from atelier.tasks.images.codec import BadImage, upright

SixteenBit = NDArray[np.float32]  # (H, W, 3) sRGB in [-1, 1], with the precision of 16 bits
Samples = NDArray[np.uint16]  # (H, W) or (H, W, C)

LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue: ITU-R 601, as in Pillow
_BIT_DEPTH, _COLOUR_TYPE = 24, 25  # offsets in a PNG file
_GREY_WITH_ALPHA = 4


def is_sixteen_bit(image: Image.Image, data: bytes) -> bool:
    """Whether an opened image has 16 bits a sample and `read` supports it: not CMYK, not premultiplied alpha."""
    if image.mode.startswith("I;16"):
        return True
    if image.format == "PNG":
        return data[_BIT_DEPTH] == 16 and getattr(image, "n_frames", 1) == 1
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.mode in ("RGB", "RGBA"):
        tags = image.tag_v2
        bits, extra = tags.get(TiffImagePlugin.BITSPERSAMPLE, ()), tags.get(TiffImagePlugin.EXTRASAMPLES, ())
        return set(bits) == {16} and 1 not in extra
    return False


def read(image: Image.Image, data: bytes, page: int) -> tuple[Samples, Samples | None]:
    """Read a loaded image that `is_sixteen_bit` again from its file, with all its bits, upright; a TIFF's pages from 0.

    Returns:
        (H, W) grey or (H, W, 3) RGB, 0…65535, and the alpha (H, W), None where it is opaque.

    Raises:
        BadImage: OpenCV and Pillow disagree about its size or depth.
    """
    if image.mode.startswith("I;16"):
        grey = np.asarray(upright(image)).astype(np.uint16)  # of either byte order
        key = image.info.get("transparency")  # of a PNG: the grey value that is transparent
        return grey, None if key is None else np.where(grey == key, np.uint16(0), np.uint16(65535))
    import cv2

    file = np.frombuffer(data, np.uint8)
    if image.format == "TIFF":
        _, pages = cv2.imdecodemulti(file, cv2.IMREAD_UNCHANGED, range=(page, page + 1))
        found = pages[0] if pages else None  # upright already
    else:
        found = cv2.imdecode(file, cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16 or found.ndim != 3 or found.shape[:2] != image.size[::-1]:
        raise BadImage("its 16-bit samples cannot be read: convert the file to 8 bits")
    if image.format == "PNG":
        found = _apply_orientation(found, image.getexif().get(ExifTags.Base.Orientation, 1))
    alpha = np.ascontiguousarray(found[..., 3]) if image.mode == "RGBA" else None
    if image.format == "PNG" and data[_COLOUR_TYPE] == _GREY_WITH_ALPHA:
        return np.ascontiguousarray(found[..., 0]), alpha
    return np.ascontiguousarray(found[..., 2::-1]), alpha  # from BGR


def to_float(samples: Samples, profile: bytes | None) -> SixteenBit:
    """(H, W) or (H, W, 3) in 0…65535 to (H, W, 3) sRGB in [-1, 1], by an ICC profile that `icc` supports."""
    values = icc.to_srgb(samples, profile)
    return 2 * (values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)) - 1


def from_float(painted: SixteenBit, *, grey: bool) -> Samples:
    """(H, W, 3) in [-1, 1] to 0…65535, rounded: (H, W) luma for grey, else (H, W, 3)."""
    values = painted @ LUMA if grey else painted
    return np.asarray(np.clip(np.rint((values + 1) * 32767.5), 0, 65535), dtype=np.uint16)


def _apply_orientation(samples: Samples, orientation: int) -> Samples:
    """Rotate and mirror by an EXIF orientation, 1…8."""
    if orientation in (5, 6, 7, 8):
        samples = np.swapaxes(samples, 0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples
