"""Boxes at fixed places of pictures, such as a watermark or the date that a camera prints."""

import re
from dataclasses import dataclass

_NUMBER = re.compile(r"(-?\d{1,6}(?:\.\d+)?)(%?)")


@dataclass(frozen=True)
class Box:
    """A box: each number in pixels, or where it is said so in percent of the picture's width or height."""

    left: tuple[float, bool]  # number, and whether it is a percentage; below 0 it counts from the right side
    top: tuple[float, bool]  # the same; below 0 from below
    width: tuple[float, bool]
    height: tuple[float, bool]

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


def parsed(text: str) -> Box:
    """The box of a text X,Y,WIDTH,HEIGHT, such as -210,-60,200,50 or 80%,92%,20%,8%.

    Raises:
        ValueError: it is none.
    """
    numbers = [_NUMBER.fullmatch(part.strip()) for part in text.split(",")]
    found = [(float(number[1]), number[2] == "%") for number in numbers if number]
    if len(found) != 4 or len(numbers) != 4 or found[2][0] <= 0 or found[3][0] <= 0:
        raise ValueError(
            f"a box is X,Y,WIDTH,HEIGHT in pixels or percent, like -210,-60,200,50 (X and Y below 0 count from the "
            f"right and from below) or 80%,92%,20%,8%, not {text!r}"
        )
    return Box(*found)


def _range(start: tuple[float, bool], extent: tuple[float, bool], size: int) -> slice:
    first, length = (number * size / 100 if percent else number for number, percent in (start, extent))
    if first < 0:
        first += size
    return slice(max(0, int(first)), min(size, -int(-(first + length) // 1)))
