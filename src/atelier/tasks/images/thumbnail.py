"""Thumbnails: small JPEG pictures, for messages and for rows of databases."""

from atelier.tasks.images.codec import Pixels, encode, scaled

MAX_BYTES = 70_000  # below 100 kB in base64
_LONGEST_PX = 1280
_QUALITY = 65
_SMALLER = 0.85


def thumbnail(picture: Pixels) -> bytes:
    """JPEG of a picture, as large as MAX_BYTES and a longest side of 1280 px allow.

    Args:
        picture: (H, W, 3) uint8 sRGB.
    """
    scale = min(1.0, _LONGEST_PX / max(picture.shape[:2]))
    while len(data := encode(scaled(picture, scale), "jpeg", quality=_QUALITY)) > MAX_BYTES:
        scale *= _SMALLER
    return data
