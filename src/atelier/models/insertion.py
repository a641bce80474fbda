"""An object that is put into pictures, and its place there. Nothing here needs torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atelier.models.boxes import Number, numbers, parsed_point

MOST_SCALE = 100.0  # factor on the sides of an object


@dataclass(frozen=True, eq=False)
class Insertion:
    """An object without the transparent rows and columns around it, and where it goes in every picture."""

    name: str  # of its file
    sha256: str  # of its file
    pixels: NDArray[np.uint8]  # (h, w, 3) sRGB
    alpha: NDArray[np.uint8]  # (h, w), 255 where it is opaque
    at: str = "50%,50%"  # X,Y of its middle, see `boxes.parsed_point`
    scale: str = "1"  # factor on its sides, or with % its width as a share of the picture's

    def __post_init__(self) -> None:
        """Refuse a wrong place or scale."""
        parsed_point(self.at)
        parsed_scale(self.scale)

    @property
    def in_pixels(self) -> bool:
        """Whether its place or its size belongs to pictures of one size."""
        return parsed_point(self.at).in_pixels or not parsed_scale(self.scale)[1]

    def record(self) -> dict[str, str]:
        """The object and its place, as JSON values."""
        return {"name": self.name, "sha256": self.sha256, "at": self.at, "scale": self.scale}

    def place(self, height: int, width: int) -> tuple[slice, slice]:
        """Its rows and columns in a picture of this size; some of them may be outside.

        Raises:
            ValueError: all are outside, or it has more pixels than the picture.
        """
        number, percent = parsed_scale(self.scale)
        factor = number / 100 * width / self.alpha.shape[1] if percent else number
        down, across = (max(1, round(side * factor)) for side in self.alpha.shape)
        if down * across > height * width:
            raise ValueError(
                f"the object {self.name} would have {across} × {down} pixels, more than the picture, which has "
                f"{width} × {height}: make its scale smaller"
            )
        y, x = parsed_point(self.at).place(height, width)
        top, left = round(y - down / 2), round(x - across / 2)
        if not (-down < top < height and -across < left < width):
            raise self.outside(height, width)
        return slice(top, top + down), slice(left, left + across)

    def outside(self, height: int, width: int) -> ValueError:
        """The error that nothing of it would be seen."""
        return ValueError(f"the object {self.name} is outside of the picture, which has {width} × {height} pixels")


def parsed_scale(text: str) -> Number:
    """The scale of a text such as 0.5 or 20%.

    Raises:
        ValueError: it is none.
    """
    match numbers(text):
        case [(number, percent)] if 0 < number <= MOST_SCALE * (100 if percent else 1):
            return number, percent
    raise ValueError(
        f"a scale is a factor on the object's own size up to {MOST_SCALE:g}, like 0.5, or its width in percent of the "
        f"picture's, like 20%, not {text!r}"
    )
