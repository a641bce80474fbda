"""Pillow's many modes as upright sRGB and alpha."""

from contextlib import suppress

import numpy as np
from PIL import ExifTags, Image

from atelier.tasks.images import exif, more_formats
from atelier.tasks.images.color import to_srgb
from atelier.tasks.images.formats import Unreadable
from atelier.tasks.images.metadata import exif_block
from atelier.tasks.images.page import eight_bits

_TURNS = dict(enumerate((
    *(Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM),
    *(Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90),
), start=2))  # by EXIF orientation; 1 is upright  # fmt: skip


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """A decoded picture as sRGB, and its alpha (L; None: opaque). Raises `Unreadable` for unsupported colours."""
    profile = image.info.get("icc_profile")
    if image.mode in ("I", "F"):
        raise Unreadable("32-bit samples have no agreed white: convert the file to 8 or 16 bits")
    if image.mode in ("LAB", "HSV"):
        raise Unreadable(f"{image.mode} colours are not supported: convert the file to RGB")
    if image.mode.startswith("I;16"):
        image = sixteen_to_eight(image)
    grey = image.mode in ("1", "L", "LA", "La")
    alpha = None
    if image.has_transparency_data and not image.info.get(more_formats.OPAQUE):
        image = image.convert("LA" if grey else "RGBA")
        alpha = image.getchannel("A")
    if image.mode not in ("RGB", "CMYK", "L"):
        image = image.convert("L" if grey else "RGB")
    return to_srgb(image, profile), alpha


def sixteen_to_eight(image: Image.Image) -> Image.Image:
    """16-bit grey with 8 bits; a grey value that is transparent becomes alpha."""
    grey, key = np.asarray(image).astype(np.uint16), image.info.get("transparency")  # of either byte order
    small = Image.fromarray(eight_bits(grey))
    if isinstance(key, int):
        small.putalpha(Image.fromarray(np.where(grey == key, np.uint8(0), np.uint8(255))))
    return small


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an image, 1…8; 1 where it has none."""
    found = exif.parse(exif_block(image))
    number = exif.number(found.image, ExifTags.Base.Orientation, found.order)
    if number is None:
        with suppress(Exception):  # Pillow looks into XMP as well; its parser raises nearly every type
            number = image.getexif().get(ExifTags.Base.Orientation)
    return int(number) if number in _TURNS else 1


def upright(image: Image.Image) -> Image.Image:
    """The picture with its EXIF orientation applied."""
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def composite_on_white(colour: Image.Image, alpha: Image.Image) -> Image.Image:
    """Composite a picture on white."""
    return Image.composite(colour, Image.new(colour.mode, colour.size, "white"), alpha)
