"""Windows of a few pictures, `windows://FOLDER`: a style that is known from three to ten pictures.

Each picture is cut into overlapping square windows at several scales, so that strokes and forms of every size are seen
and a training has hundreds of pictures. All windows of a picture share a group. One picture is left out of training, to
measure on: the one whose name has the smallest SHA-256, so that it stays the same one however the folder is read.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.storage.companion_files import kind_of
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.file_source import FileSource
from atelier.tasks.storage.folder import Folder
from atelier.tasks.storage.location import FileStat
from atelier.tasks.storage.source import Source

SCHEME = "windows://"
LEAST = 2  # pictures: one to learn from, one to measure on
GRIDS = {1: 3, 2: 3, 4: 5}  # windows of 1/n of the shorter side: places along each side
TRAIN, LEFT_OUT = "train:", "holdout:"  # before the names of groups, see `shards.split_of`


class Windows(Source):
    """The windows of the pictures in a local folder."""

    kind = "window"

    def __init__(self, spec: str, folder: Path) -> None:
        self.spec, self.folder = spec, folder

    def entries(self) -> Iterator[Entry]:
        """Every window, and the files that are no pictures. Raises ValueError for fewer than two pictures."""
        files = list(Folder(self.spec, [self.folder]).entries())
        pictures = [file for file in files if not (file.skipped or kind_of(file.name))]
        if len(pictures) < LEAST:
            raise ValueError(
                f"source {self.spec} has {len(pictures)} pictures: three to ten are needed, one of which is left out"
            )
        left_out = min(pictures, key=lambda file: hashlib.sha256(file.name.encode()).digest())
        for file in files:
            if file in pictures:
                yield from _windows(file, LEFT_OUT if file is left_out else TRAIN)
            else:
                yield file

    @classmethod
    def read(cls, entry: Entry, max_bytes: int) -> bytes:
        """A window as a PNG file."""
        share, down, across = (float(number) for number in entry.member.split())
        picture = _picture(entry.path, entry.etag, max_bytes)
        height, width = picture.shape[:2]
        side = max(1, round(share * min(height, width)))
        top, left = round(down * (height - side)), round(across * (width - side))
        return codec.encode(picture[top : top + side, left : left + side], "png")

    @classmethod
    def stamp(cls, entry: Entry, stat: Callable[[str], FileStat]) -> tuple[str, str]:
        """Its own name, size and etag of its picture."""
        return FileSource.stamp(entry, stat)


def _windows(file: Entry, split: str) -> Iterator[Entry]:
    """Windows that cover a picture at every scale; of a long one the largest lie along it."""
    for part, places in GRIDS.items():
        grid = [(place, place) for place in range(places)] if part == 1 else _pairs(places)
        for down, across in grid:
            name = f"{file.name}/{part}-{down}-{across}.png"
            where = f"{1 / part} {down / (places - 1)} {across / (places - 1)}"
            yield replace(file, name=name, kind=Windows.kind, member=where, group=split + file.name)


def _pairs(places: int) -> list[tuple[int, int]]:
    return [(down, across) for down in range(places) for across in range(places)]


@lru_cache(maxsize=2)
def _picture(path: str, etag: str, max_bytes: int) -> Pixels:
    """A whole picture, cached: its windows are read one after the other."""
    return codec.decode(FileSource.read(Entry(path, path, path=path, etag=etag), max_bytes))
