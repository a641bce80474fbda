"""Reading an object that is put into pictures: a picture that is transparent around it."""

import hashlib
from pathlib import Path

import numpy as np

from atelier.models.insertion import Insertion
from atelier.tasks.images import reader
from atelier.tasks.images.codec import BadImage, ImageLimits, read_file

LIMITS = ImageLimits(max_bytes=2**26, max_pixels=2**24)  # every worker has the object in its memory


def load_object(path: Path, at: str, scale: str) -> Insertion:
    """An object from its file, in 8 bits, without the transparent rows and columns around it.

    Args:
        at: see `Insertion`.
        scale: see `Insertion`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, has no transparency or nothing but that; the place or the scale is none.
    """
    data = read_file(path, LIMITS)
    try:
        (frame,) = reader.read(data, LIMITS, "webp").frames  # with transparency, in 8 bits
    except BadImage as error:
        raise BadImage(f"object {path} cannot be read: {error}") from error
    alpha, pixels = frame.alpha, frame.pixels
    if alpha is None or alpha.min() == 255:
        raise ValueError(
            f"object {path} has no transparency, so that it cannot be told from what is around it: cut it out, and "
            "save it as a PNG that is transparent there"
        )
    if not alpha.any():
        raise ValueError(f"object {path} is wholly transparent: nothing of it would be seen")
    rows, columns = (np.flatnonzero(alpha.any(axis)) for axis in (1, 0))
    own = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    pixels, alpha = (np.ascontiguousarray(x[own], np.uint8) for x in (pixels, alpha))
    return Insertion(path.name, hashlib.sha256(data).hexdigest(), pixels, alpha, at, scale)
