"""Copied windows: whether an output shows a piece of a training picture instead of being painted in its style.

Windows of the output with the most detail are looked for in every training picture at several scales, by normalised
cross-correlation (Lewis 1995, "Fast Normalized Cross-Correlation", equation 1). Only detail is compared, luma between
two blurs relative to its local contrast: of luma itself every horizon is like every other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from atelier.tasks.images.codec import Pixels

Plane = NDArray[np.float32]  # (H, W)

WINDOW_PX = 64
STRIDE_PX = 32
WINDOWS = 64  # of an output: those with the most detail, since plain ones are alike everywhere
SCALES = (1.0, 0.71, 0.5)  # of the training pictures
LONGEST_PX = 512  # pictures are shrunk to this longer side
FINE_PX, COARSE_PX = 1.5, 6.0  # standard deviations of the two blurs
PLAIN = 4.0  # contrast, in 8-bit steps, below which detail counts less
COPIED = 0.72  # correlation above which a window is a copy, see docs/training.md


@dataclass(frozen=True)
class Match:
    """The window of an output that is most like a place in a training picture."""

    correlation: float  # -1…1
    picture: int  # index of the training picture
    window: Pixels  # (64, 64, 3)
    place: Pixels  # (64, 64, 3) of the training picture

    @property
    def copied(self) -> bool:
        """Whether it is a copy."""
        return self.correlation > COPIED


def best_match(painted: Pixels, pictures: Sequence[Pixels]) -> Match:
    """The best match of an output's windows in training pictures, all (H, W, 3) sRGB.

    Raises:
        ValueError: a picture is smaller than a window.
    """
    painted, best = _shrunk(painted, 1.0), None
    detail = _detail(painted)
    scaled = [(index, _shrunk(picture, scale)) for index, picture in enumerate(pictures) for scale in SCALES]
    known = [(index, smaller, _detail(smaller)) for index, smaller in scaled if min(smaller.shape[:2]) >= WINDOW_PX]
    for corner in _corners(detail):
        for index, picture, details in known:
            found = cv2.matchTemplate(details, _window(detail, corner), cv2.TM_CCOEFF_NORMED)
            _, value, _, (x, y) = cv2.minMaxLoc(found)
            if best is None or value > best.correlation:
                best = Match(value, index, _window(painted, corner), _window(picture, (y, x)))
    if best is None:
        raise ValueError(f"copies are looked for in windows of {WINDOW_PX} px: the pictures are smaller")
    return best


def _corners(detail: Plane) -> list[tuple[int, int]]:
    """Corners of the windows with the most detail, the largest standard deviation first."""
    height, width = detail.shape
    corners = [
        (top, left)
        for top in range(0, height - WINDOW_PX + 1, STRIDE_PX)
        for left in range(0, width - WINDOW_PX + 1, STRIDE_PX)
    ]
    spread = [float(_window(detail, corner).std()) for corner in corners]
    return [corners[place] for place in np.argsort(spread, kind="stable")[::-1][:WINDOWS]]


def _window(picture: Any, corner: tuple[int, int]) -> Any:
    top, left = corner
    return picture[top : top + WINDOW_PX, left : left + WINDOW_PX]


def _detail(picture: Pixels) -> Plane:
    """Luma (H, W) between the two blurs, relative to its own local contrast."""
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(luma, (0, 0), sigma) for sigma in (FINE_PX, COARSE_PX))
    detail = fine - coarse
    contrast = cv2.GaussianBlur(detail * detail, (0, 0), COARSE_PX)
    return np.asarray(detail / np.sqrt(contrast + PLAIN**2))


def _shrunk(picture: Pixels, scale: float) -> Pixels:
    height, width = picture.shape[:2]
    scale *= min(1.0, LONGEST_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
