"""Label pictures: PNG files whose values say what goes where or what stays, in a folder that mirrors the inputs."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier.tasks.images.codec import BadImage, ImageLimits, open_image
from atelier.tasks.images.formats import split_suffix
from atelier.tasks.images.reader import DecodedImage, fit
from atelier.tasks.images.resampling import enlarged
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.location import is_url
from atelier.tasks.storage.open_source import read

MODES = ("1", "L", "P")  # bilevel, grey and palette


class NoLabelPicture(BadImage):
    """An input has no label picture."""


@dataclass(frozen=True)
class LabelPicture:
    """The labels of an input."""

    labels: NDArray[np.uint8]  # (H, W)
    sha256: str  # of the file


def label_file(folder: str, name: str) -> str:
    """Path or URL of the label picture of an input: its own path in the folder, with .png as suffix."""
    relative = f"{split_suffix(name)[0]}.png"
    return f"{folder.rstrip('/')}/{relative}" if is_url(folder) else str(Path(folder) / relative)


def read_labels(folder: str, name: str, image: DecodedImage, limits: ImageLimits, size: int | None) -> LabelPicture:
    """The labels of an input.

    Args:
        folder: absolute path, or URL, of the folder of label pictures.
        name: of the input.
        image: the decoded input.
        limits: on the file.
        size: to which longest side the input was shrunk, px; label pictures have the size that it had before.

    Raises:
        BadImage: there is no label picture, it is no grey or palette PNG, or it is not as large as the input.
    """
    file = label_file(folder, name)
    relative = f"label picture {split_suffix(name)[0]}.png"
    try:
        data = read(Entry(name, folder, path=file), limits.max_bytes)
        labels = _decoded(data, limits)
    except BadImage as error:
        if str(error) == "the file is gone":
            raise NoLabelPicture(f"there is no {relative}") from error
        raise BadImage(f"{relative}: {error}") from error
    for frame in image.frames:
        height, width = frame.pixels.shape[:2]
        shown = labels.shape[1], labels.shape[0]
        if (fit(shown, size) if size else shown) != (width, height):
            raise BadImage(f"{relative} has {shown[0]} × {shown[1]} pixels, and the picture has {width} × {height}")
    height, width = image.frames[0].pixels.shape[:2]
    if labels.shape != (height, width):  # values are no brightness: none is between two others
        labels = labels[_nearest(labels.shape[0], height)[:, None], _nearest(labels.shape[1], width)]
    return LabelPicture(labels, hashlib.sha256(data).hexdigest())


def read_kept(
    folder: str, name: str, image: DecodedImage, limits: ImageLimits, size: int | None
) -> LabelPicture | None:
    """Where an input stays as it is: its label picture, which is 0 elsewhere; None where it has none.

    Raises:
        BadImage: as `read_labels`, for one that cannot be used.
    """
    try:
        return read_labels(folder, name, image, limits, size)
    except NoLabelPicture:
        return None


def with_kept(painted: Any, given: Any, kept: LabelPicture | None) -> Any:
    """A painted frame (s · H, s · W, 3), with the input's pixels where they stay, value by value.

    Where s is not 1, the input (H, W, 3) is enlarged by bicubic interpolation, and each label to s × s pixels.
    """
    if kept is None:
        return painted
    scale = len(painted) // len(given)
    stays = kept.labels.repeat(scale, 0).repeat(scale, 1)[..., None] > 0
    return np.where(stays, enlarged(given, painted.shape[:2]), painted)


def _nearest(given: int, wanted: int) -> NDArray[np.int64]:
    """Of so many given positions the nearest to each of those that are wanted."""
    return (np.arange(wanted) * 2 + 1) * given // (2 * wanted)


def _decoded(data: bytes, limits: ImageLimits) -> NDArray[np.uint8]:
    with open_image(data, limits) as image:
        if image.format != "PNG" or image.mode not in MODES:
            raise BadImage("it is no grey or palette PNG, whose values are the labels")
        image.load()
        return np.asarray(image).astype(np.uint8)
