"""Label pictures: PNG files whose values say what goes where or what stays, in a source that mirrors the inputs."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atelier.models.controls import Controls
from atelier.tasks.images.codec import BadImage, ImageLimits, open_image
from atelier.tasks.images.detectors import found_mask
from atelier.tasks.images.formats import split_suffix
from atelier.tasks.images.reader import DecodedImage, fit
from atelier.tasks.images.resampling import enlarged
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.file_source import NO_FILE, file_entry
from atelier.tasks.storage.location import file_stat, is_url
from atelier.tasks.storage.open_source import archive_class, list_files, read

MODES = ("1", "L", "P")  # bilevel, grey and palette


class NoLabelPicture(BadImage):
    """An input has no label picture."""


@dataclass(frozen=True)
class LabelPicture:
    """The labels of an input."""

    labels: NDArray[np.uint8]  # (H, W)
    sha256: str  # of the file, "" of what was found without one


def label_entry(source: str, name: str) -> Entry:
    """The label picture of an input: its own path in the source, with .png as suffix; or the one of all inputs.

    Args:
        source: absolute path, or URL, of a folder, an archive or a PNG.
        name: of the input.

    Raises:
        NoLabelPicture: a folder or an archive has none of this name.
        BadImage: an archive cannot be read.
    """
    if is_one_for_all(source):
        return Entry(PurePosixPath(source).name, source, path=source)
    relative = f"{split_suffix(name)[0]}.png"
    if archive_class(source):
        try:
            etag = "" if is_url(source) else file_stat(source).etag  # a replaced archive is another one
            members = _members(source, etag)
        except (OSError, ValueError) as error:
            raise BadImage(f"label picture {relative}: {error}") from error
        if relative not in members:
            raise NoLabelPicture(f"there is no label picture {relative}")
        return members[relative]
    if is_url(source):
        return Entry(relative, source, path=f"{source.rstrip('/')}/{relative}")
    root = Path(source).resolve()
    entry = file_entry(relative, source, root / relative, [root])  # no link leads out of the folder
    if entry.problem == NO_FILE:
        raise NoLabelPicture(f"there is no label picture {relative}")
    return entry


def is_one_for_all(source: str) -> bool:
    """Whether a source of label pictures is one picture, which all inputs share."""
    return source.lower().endswith(".png")


@lru_cache(maxsize=2)
def _members(archive: str, etag: str) -> dict[str, Entry]:
    """The files of an archive, by name."""
    return {entry.name: entry for entry in list_files(archive, Path())}


def read_labels(source: str, name: str, image: DecodedImage, limits: ImageLimits, size: int | None) -> LabelPicture:
    """The labels of an input.

    Args:
        source: of label pictures, see `label_entry`.
        name: of the input.
        image: the decoded input.
        limits: on the file.
        size: to which longest side the input was shrunk, px; label pictures have the size that it had before.

    Raises:
        BadImage: there is no label picture, it is no grey or palette PNG, or it is not as large as the input.
    """
    entry = label_entry(source, name)
    relative = f"label picture {entry.name}"
    try:
        data = read(entry, limits.max_bytes)
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
    source: str, name: str, image: DecodedImage, limits: ImageLimits, size: int | None
) -> LabelPicture | None:
    """Where an input stays as it is: its label picture, which is 0 elsewhere; None where it has none.

    Raises:
        BadImage: as `read_labels`, for one that cannot be used.
    """
    try:
        return read_labels(source, name, image, limits, size)
    except NoLabelPicture:
        return None


def kinds_of(controls: Iterable[Controls]) -> tuple[str, ...]:
    """The kinds of things that are found for any model of a chain."""
    return tuple(dict.fromkeys(kind for one in controls for kind in one.kinds))


def with_found(labels: LabelPicture | None, image: DecodedImage, kinds: Sequence[str]) -> LabelPicture | None:
    """The labels of an input, with holes where things of these kinds are in any of its frames; as they are of no kind.

    Raises:
        BadImage: its frames have different sizes.
        NoDetector: a detector is not installed.
    """
    if not kinds:
        return labels
    shapes = {frame.pixels.shape[:2] for frame in image.frames}
    if len(shapes) > 1:
        raise BadImage(f"{' and '.join(kinds)} cannot be removed: its pages have different sizes")
    found = labels.labels if labels else np.zeros(shapes.pop(), np.uint8)
    for frame in image.frames:
        deep = frame.pixels.dtype != np.uint8  # float32 in [-1, 1]
        levels = np.rint((frame.pixels + 1) * 127.5).clip(0, 255) if deep else frame.pixels
        found = np.maximum(found, found_mask(kinds, levels.astype(np.uint8)))
    return LabelPicture(found, labels.sha256 if labels else "")


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
