"""The window of a picture at full resolution that shows most of what is done to fine detail."""

import numpy as np

from atelier.tasks.images.codec import Pixels

Window = tuple[slice, slice]  # rows and columns
PLACES = 9  # that are looked at from the top down, and as many from left to right


def detailed_window(picture: Pixels, side: int) -> Window:
    """The square with the most detail, by its mean gradient, of those whose middle lies in the picture's middle half.

    Args:
        picture: (H, W, 3).
        side: of the square, px; what is less high or wide is taken whole.
    """
    height, width = picture.shape[:2]
    luma = picture.mean(2, dtype=np.float32)
    steep = np.abs(np.diff(luma, axis=0, append=luma[-1:])) + np.abs(np.diff(luma, axis=1, append=luma[:, -1:]))
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = steep.cumsum(0, dtype=np.float64).cumsum(1)
    tops, lefts = _starts(height, side), _starts(width, side)
    bottoms, rights = np.minimum(tops + side, height), np.minimum(lefts + side, width)
    within = sums[np.ix_(bottoms, rights)] - sums[np.ix_(tops, rights)] - sums[np.ix_(bottoms, lefts)]
    row, column = np.unravel_index((within + sums[np.ix_(tops, lefts)]).argmax(), within.shape)
    return slice(int(tops[row]), int(bottoms[row])), slice(int(lefts[column]), int(rights[column]))


def window_around(window: Window, margin: int, height: int, width: int) -> Window:
    """A window with a margin (px) around it, as far as the picture has one."""
    rows, columns = window
    return (
        slice(max(0, rows.start - margin), min(height, rows.stop + margin)),
        slice(max(0, columns.start - margin), min(width, columns.stop + margin)),
    )


def _starts(length: int, side: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Where windows begin whose middle lies in the middle half of a length."""
    first, last = (min(max(0, round(share * length - side / 2)), max(0, length - side)) for share in (0.25, 0.75))
    return np.unique(np.linspace(first, last, PLACES).round().astype(np.int64))
