"""Boxes and points at fixed places of pictures, such as a watermark or the date that a camera prints."""

import re
from dataclasses import dataclass

Number = tuple[float, bool]  # and whether it is a percentage

KINDS = ("faces", "text")  # of things that are found in each picture, instead of in a box
_NUMBER = re.compile(r"(-?\d{1,6}(?:\.\d+)?)(%?)")


@dataclass(frozen=True)
class Box:
    """A box: each number in pixels, or where it is said so in percent of the picture's width or height."""

    left: Number  # below 0 it counts from the right side
    top: Number  # below 0 from below
    width: Number
    height: Number

    @property
    def in_pixels(self) -> bool:
        """Whether any number is in pixels, so that the box belongs to pictures of one size."""
        return not all(percent for _, percent in (self.left, self.top, self.width, self.height))

    def place(self, height: int, width: int) -> tuple[slice, slice]:
        """Its rows and columns in a picture of this size, as much of it as is in there.

        Raises:
            ValueError: nothing of it is.
        """
        rows, columns = _range(self.top, self.height, height), _range(self.left, self.width, width)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            raise ValueError(f"a box to remove is outside of the picture, which has {width} × {height} pixels")
        return rows, columns


@dataclass(frozen=True)
class Point:
    """A point: each number in pixels, or in percent of the picture's width or height."""

    x: Number  # below 0 it counts from the right side
    y: Number  # below 0 from below

    @property
    def in_pixels(self) -> bool:
        """Whether a number is in pixels, so that the point belongs to pictures of one size."""
        return not (self.x[1] and self.y[1])

    def place(self, height: int, width: int) -> tuple[float, float]:
        """Its row and column in a picture of this size; it may be outside."""
        return _start(self.y, height), _start(self.x, width)


def parsed(text: str) -> Box:
    """The box of a text X,Y,WIDTH,HEIGHT, such as -210,-60,200,50 or 80%,92%,20%,8%.

    Raises:
        ValueError: it is none.
    """
    found = numbers(text)
    if len(found) != 4 or found[2][0] <= 0 or found[3][0] <= 0:
        raise ValueError(
            f"a box is X,Y,WIDTH,HEIGHT in pixels or percent, like -210,-60,200,50 (X and Y below 0 count from the "
            f"right and from below) or 80%,92%,20%,8%, and what is found is {' or '.join(KINDS)}, not {text!r}"
        )
    return Box(*found)


def parsed_point(text: str) -> Point:
    """The point of a text X,Y, such as -210,60 or 50%,80%.

    Raises:
        ValueError: it is none.
    """
    found = numbers(text)
    if len(found) != 2:
        raise ValueError(
            f"a place is X,Y in pixels or percent, like -210,60 (below 0 they count from the right and from below) or "
            f"50%,80%, not {text!r}"
        )
    return Point(*found)


def numbers(text: str) -> list[Number]:
    """The numbers of a text, with commas between them; none where a part of it is no number."""
    parts = [_NUMBER.fullmatch(part.strip()) for part in text.split(",")]
    found = [(float(number[1]), number[2] == "%") for number in parts if number]
    return found if len(found) == len(parts) else []


def _range(start: Number, extent: Number, size: int) -> slice:
    first = _start(start, size)
    return slice(max(0, int(first)), min(size, -int(-(first + _pixels(extent, size)) // 1)))


def _start(number: Number, size: int) -> float:
    first = _pixels(number, size)
    return first + size if first < 0 else first


def _pixels(number: Number, size: int) -> float:
    return number[0] * size / 100 if number[1] else number[0]
