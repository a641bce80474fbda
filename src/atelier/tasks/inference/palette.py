"""The palette of pictures: their most important colours."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from atelier.tasks.images.codec import Pixels, load, resize
from atelier.tasks.storage.companion_files import kind_of

COLORS = 48  # of a palette
SIDE_PX = 160  # pictures are shrunk to squares of this side before their colours are counted, so that each counts alike


def palette_of(pictures: Sequence[Pixels]) -> tuple[str, ...]:
    """The palette of pictures, by median cut (Heckbert 1982) as Pillow does it."""
    small = np.concatenate([resize(picture, SIDE_PX, SIDE_PX) for picture in pictures])
    indexed = Image.fromarray(small).quantize(COLORS, Image.Quantize.MEDIANCUT)
    colors, used = bytes(indexed.getpalette() or []), np.unique(np.asarray(indexed)).tolist()
    return tuple(sorted({f"#{colors[3 * i : 3 * i + 3].hex()}" for i in used}))


def load_palette(path: Path) -> tuple[str, ...]:
    """The palette of a picture, or of the pictures in a folder, like "#20409a" each.

    Raises:
        FileNotFoundError, ValueError: there is none, or it cannot be read.
    """
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    pictures = [load(file) for file in files if not kind_of(file.name)]
    if not pictures:
        raise ValueError(f"{path} holds no pictures: name a picture or a folder of pictures whose colours are kept")
    return palette_of(pictures)
