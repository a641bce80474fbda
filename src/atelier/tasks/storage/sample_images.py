"""Embedded data, `sample://photos` and `sample://paintings`, made from photographs in installed packages.

scikit-image and scikit-learn have a few free photographs. Overlapping windows are cut from them at several scales. All
windows of one parent share a `group`, so that no parent is both in training and in evaluation, and no parent is in both
domains. Two photographs show two separate objects, and are divided without overlap into two parents each: the astronaut
and the shuttle model, the pagoda and the lake.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.location import FileStat
from atelier.tasks.storage.source import Source

ETAG = "sample:2"  # another one when the pictures change
SCHEME = "sample://"
SIZE_PX = 160  # of every picture
SHORT_SIDES_PX = (330, 430)  # parents are scaled to these: windows show parts, not scenes
MAX_ENLARGEMENT = 1.15
STRIDE_PX = 64  # largest distance of neighbouring windows


@dataclass(frozen=True)
class Parent:
    """A photograph, or a part of one. Its name decides whether it is held out."""

    name: str
    package: str
    file: str
    box: tuple[int, int, int, int]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Crop:
    """One picture of the embedded data."""

    name: str
    group: str
    parent: Parent
    short_side: int
    left: int
    top: int


PARENTS = {
    "photos": (
        Parent("astronaut", "skimage", "data/astronaut.png", (0, 0, 328, 512)),
        Parent("shuttle and helmet", "skimage", "data/astronaut.png", (328, 0, 512, 512)),
        Parent("motorbike", "skimage", "data/motorcycle_left.png", (0, 0, 741, 500)),
        Parent("rocket", "skimage", "data/rocket.jpg", (0, 0, 640, 427)),
        Parent("coffee-cup", "skimage", "data/coffee.png", (0, 0, 600, 400)),
    ),
    "paintings": (
        Parent("pagoda", "sklearn", "datasets/images/china.jpg", (0, 0, 370, 427)),
        Parent("lake", "sklearn", "datasets/images/china.jpg", (370, 0, 640, 427)),
        Parent("dahlia", "sklearn", "datasets/images/flower.jpg", (0, 0, 640, 427)),
        Parent("chelsea", "skimage", "data/chelsea.png", (0, 0, 451, 300)),
        Parent("tissue", "skimage", "data/ihc.png", (0, 0, 512, 512)),
        Parent("galaxies", "skimage", "data/hubble_deep_field.jpg", (0, 0, 1000, 872)),
        # grey photographs: the painter has its own colours, and many parents separate style from content
        Parent("man with a camera", "skimage", "data/camera.png", (0, 0, 512, 512)),
        Parent("coins", "skimage", "data/coins.png", (0, 0, 384, 303)),
        Parent("meadow", "skimage", "data/grass.png", (0, 0, 512, 512)),
        Parent("gravel", "skimage", "data/gravel.png", (0, 0, 512, 512)),
        Parent("moon", "skimage", "data/moon.png", (0, 0, 512, 512)),
    ),
}


class SampleImages(Source):
    """One domain of the embedded data."""

    kind = "sample"

    def __init__(self, spec: str) -> None:
        self.spec, self.crops = spec, list_crops(spec)

    def entries(self) -> Iterator[Entry]:
        """Every picture, by name."""
        for crop in self.crops:
            yield Entry(name=crop.name, source=self.spec, etag=ETAG, kind=self.kind, group=crop.group)

    @classmethod
    def read(cls, entry: Entry, max_bytes: int) -> bytes:
        """One picture as a PNG file of 160² pixels."""
        return read(entry.name, entry.source)

    @classmethod
    def stamp(cls, entry: Entry, stat: Callable[[str], FileStat]) -> tuple[str, str]:
        """The domain's URL and the format of its pictures."""
        return entry.source, entry.etag


def is_sample(spec: str) -> bool:
    """Whether a source names embedded data."""
    return spec.startswith(SCHEME)


def list_crops(spec: str) -> list[Crop]:
    """The pictures of one embedded domain, by name. Raises FileNotFoundError where there is no such domain."""
    return list(_crops(spec).values())


def read(name: str, spec: str) -> bytes:
    """One picture as a PNG file of 160² pixels.

    Raises:
        FileNotFoundError: there is no such picture, or the package that carries its parent is not installed.
    """
    crops = _crops(spec)
    if name not in crops:
        raise FileNotFoundError(f"{spec} has no picture {name}")
    crop = crops[name]
    picture = _scaled(crop.parent, crop.short_side, painted=crop.parent in PARENTS["paintings"])
    window = picture[crop.top : crop.top + SIZE_PX, crop.left : crop.left + SIZE_PX]
    return codec.encode(window, "png")


@lru_cache(maxsize=4)
def _crops(spec: str) -> dict[str, Crop]:
    parents = PARENTS.get(spec.removeprefix(SCHEME))
    if parents is None:
        raise FileNotFoundError(
            f"source {spec} does not exist: there are {', '.join(SCHEME + name for name in PARENTS)}"
        )
    return {crop.name: crop for parent in sorted(parents, key=lambda p: p.name) for crop in _windows(parent)}


def _windows(parent: Parent) -> Iterator[Crop]:
    """Windows that cover the parent at every scale that does not enlarge it much."""
    reached = [side for side in SHORT_SIDES_PX if min(_size(parent, side)) >= side]
    for short_side in reached or SHORT_SIDES_PX[:1]:  # a small parent is not scaled
        width, height = _size(parent, short_side)
        for top in _positions(height):
            for left in _positions(width):
                name = f"{parent.name.replace(' ', '-')}/{short_side:03}-{top:03}-{left:03}.png"
                yield Crop(name, parent.name, parent, short_side, left, top)


def _size(parent: Parent, short_side: int) -> tuple[int, int]:
    """Width and height of the scaled parent in pixels, within `MAX_ENLARGEMENT`."""
    left, top, right, bottom = parent.box
    scale = short_side / min(right - left, bottom - top)
    if scale > MAX_ENLARGEMENT:
        scale = 1.0
    return round((right - left) * scale), round((bottom - top) * scale)


def _positions(length: int) -> list[int]:
    """Evenly spaced offsets of windows along a side."""
    count = -(-(length - SIZE_PX) // STRIDE_PX) + 1
    return [round(i * (length - SIZE_PX) / max(1, count - 1)) for i in range(count)]


@lru_cache(maxsize=4)
def _scaled(parent: Parent, short_side: int, painted: bool) -> Pixels:
    """A whole parent at one scale, cached: painting it once is cheaper than painting each window."""
    photo = photograph(parent, short_side)
    if not painted:
        return photo
    from atelier.tasks.storage.sample_painter import paint  # imports OpenCV, which is slow

    return paint(photo, seed=zlib.crc32(f"{parent.name} {short_side}".encode()))


def photograph(parent: Parent, short_side: int) -> Pixels:
    """A whole parent, not painted, scaled to a shorter side of about so many pixels."""
    left, top, right, bottom = parent.box
    return codec.resize(_photo(parent.package, parent.file)[top:bottom, left:right], *_size(parent, short_side))


@lru_cache(maxsize=2)
def _photo(package: str, file: str) -> Pixels:
    found = find_spec(package)  # without importing it
    path = Path(next(iter(found.submodule_search_locations or ()), "")) / file if found else Path()
    if not path.is_file():
        raise FileNotFoundError(f"{package} with its {file} is not installed: install Atelier's requirements again")
    return codec.decode(path.read_bytes())
