"""Steadiness from frame to frame: every painted frame is blended with its two neighbours along the motion.

A painter that paints every frame alone flickers: its strokes jump where the scene does not. Bonneel et al. 2015, "Blind
Video Temporal Consistency", and Lai et al. 2018, "Learning Blind Video Temporal Consistency", make each frame follow
the one before it, so that a frame depends on all before. Here it depends on its neighbours alone: the pixels are the
same however a video is cut into chunks, given one frame more on either side.

A neighbour is warped by DIS optical flow (Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse Search") that is
found in the source frames. It counts where the flow there and back again agree and the warped source frame has the
colours of this one: not where something is covered or uncovered, and not across a cut. A mean of strokes that differ
is softer than each of them, so that the contrast of fine detail is brought back to that of the painted frame.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from atelier.tasks.images.codec import Pixels

# Chosen by `benchmarks/video.py` on a film with a cut (640 x 272) in the style "starry-night": warping error 0.45 of
# that without steadying; its part "constants" has these figures. Then measured on two other clips and styles.
MARGIN = 1  # frames on either side that a frame depends on; of 2 more would have to be painted for each chunk
FLOW_PX = 320  # long side of the frames that the flow is found in, at most; 240: error 0.49; 640: 0.40, twice the time
FINEST_SCALE = 1  # of the flow's pyramid; 2, as the preset has: error 0.55; 0: 0.36, twice the time
REFINEMENTS = 2  # of the flow; 0: error 0.48; 5, as the preset has: 0.44, a tenth more time
RETURN_PX = 1.0  # a way there and back that misses its start by this counts 1/e; 0.5: error 0.48; 2: 0.43, more ghosts
COLOR_LEVELS = 12.0  # the same for colors, in 8-bit values; 24: ghosts 1.4 for 1.0; 6: 0.7, but grain would count
COLOR_AREA_PX = 5  # over which it is the mean, because of grain; in clean clips 1 and 9 differ little
DETAIL_PX = 5  # what is finer counts as detail; 3 and 9 are softer, and 2 to 3 % farther from the style
DETAIL_AREA_PX = 31  # over which its contrast is compared; 61 differs little here, and is farther from Monet's style
MOST_GAIN = 1.5  # of detail; 1: error 0.30, but 17 % softer and farther from the style; 1.2: 0.36, 6 % farther
CUT = 0.85  # see `is_cut`: from frame to frame at most 0.65 in the three clips, at their five cuts 1.3 to 2.0
THUMBNAIL_PX = 64
LEAST_PX = 16  # a side of what OpenCV finds flow in

Floats = NDArray[np.float32]

_alone = threading.Lock()  # OpenCV's number of threads is of the process


def is_cut(before: Pixels, after: Pixels) -> bool:
    """Whether a new scene begins between two successive frames of a video, which have one size.

    It does where thumbnails differ by more than `CUT` of their own contrast, in mean absolute differences.
    """
    a, b = (_thumbnail(frame) for frame in (before, after))
    contrast = sum(float(np.abs(one - one.mean((0, 1))).mean()) for one in (a, b)) / 2
    return float(np.abs(a - b).mean()) > CUT * (contrast + 4)  # frames of one color have noise alone


def steady(source: Iterable[Pixels], painted: Iterable[Pixels], steadiness: float, keep: range) -> Iterator[Pixels]:
    """Painted frames that flicker less; few are in memory at a time.

    Args:
        source: successive frames of one video and size, with `MARGIN` more on either side of those that are kept,
            where the video has them.
        painted: the same frames painted, of the same size or larger by one factor.
        steadiness: in [0, 1], how much neighbours count; 0 leaves the painted frames as they are.
        keep: which frames are returned, counted from 0.

    Raises:
        ValueError: steadiness is out of range, or there are more frames of one kind than of the other.
    """
    if not 0 <= steadiness <= 1:
        raise ValueError(f"steadiness is {steadiness}: expected 0 to 1")
    if steadiness == 0:
        yield from (frame for index, frame in enumerate(painted) if index in keep)
        return
    now: _View | None = None
    neighbours: list[_Neighbour] = []  # of `now`
    for index, (frame, picture) in enumerate(zip(source, painted, strict=True)):
        with _one_thread():
            after = _View(frame, picture)
            behind: list[_Neighbour] = []
            if now and not is_cut(now.small, after.small):
                there, back = _flow(now, after), _flow(after, now)
                neighbours.append(_Neighbour(picture, after.small, there, back))
                behind.append(_Neighbour(now.painted, now.small, back, there))
            made = _blend(now, neighbours, steadiness) if now and index - 1 in keep else None
        if made is not None:
            yield made
        now, neighbours = after, behind
    if now and index in keep:
        with _one_thread():
            made = _blend(now, neighbours, steadiness)
        yield made


class _View:
    """A frame and what is made of it once."""

    def __init__(self, source: Pixels, painted: Pixels) -> None:
        self.painted = painted
        scale = min(1.0, FLOW_PX / max(source.shape))
        height, width = (max(LEAST_PX, round(scale * side)) for side in source.shape[:2])
        self.small = np.asarray(cv2.resize(source, (width, height), interpolation=cv2.INTER_AREA))
        self.grey = cv2.cvtColor(self.small, cv2.COLOR_RGB2GRAY)


@dataclass(frozen=True)
class _Neighbour:
    """A neighbour of a frame, and the flow (h, w, 2) from the frame to it and from it to the frame."""

    painted: Pixels
    small: Pixels
    there: Floats
    back: Floats


def _flow(start: _View, end: _View) -> Floats:
    """(h, w, 2): how many pixels of the small frames everything of the one moves right and down, until the other."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow.setFinestScale(FINEST_SCALE)
    flow.setVariationalRefinementIterations(REFINEMENTS)
    return np.asarray(flow.calc(start.grey, end.grey, None))


def _blend(frame: _View, neighbours: list[_Neighbour], steadiness: float) -> Pixels:
    """The mean of a painted frame and its warped neighbours, as much as each counts, with its detail brought back."""
    painted = frame.painted
    if not neighbours:
        return painted
    weights = [_weight(frame, one) for one in neighbours]
    warped = [_warped(one.painted, _resized(one.there, painted), cv2.INTER_CUBIC) for one in neighbours]
    both, total = warped[0], weights[0]
    if len(neighbours) == 2:
        both = cv2.blendLinear(*warped, *(_stretched(one, painted) for one in weights))
        total = weights[0] + weights[1]
    ones = np.ones(painted.shape[:2], np.float32)
    mean = cv2.blendLinear(painted, both, ones, _stretched(steadiness * total, painted))
    return _with_detail(mean, painted, np.minimum(total, 1))


def _weight(frame: _View, neighbour: _Neighbour) -> Floats:
    """How much a neighbour counts at each pixel of a small frame: (h, w) in [0, 1]."""
    far = (1e3, 1e3)  # outside of the picture nothing comes back
    miss = neighbour.there + _warped(neighbour.back, neighbour.there, cv2.INTER_LINEAR, far)
    color = cv2.absdiff(frame.small, _warped(neighbour.small, neighbour.there, cv2.INTER_LINEAR))
    red, green, blue = cv2.split(color)
    difference = cv2.blur(cv2.max(cv2.max(red, green), blue).astype(np.float32), (COLOR_AREA_PX, COLOR_AREA_PX))
    squares = (miss[..., 0] ** 2 + miss[..., 1] ** 2) / RETURN_PX**2 + (difference / COLOR_LEVELS) ** 2
    return np.asarray(cv2.exp(-squares))


def _stretched(values: Floats, picture: Pixels) -> Floats:
    """Values of small frames for each pixel of a picture."""
    return np.asarray(cv2.resize(values, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR))


def _resized(flow: Floats, picture: Pixels) -> Floats:
    """The flow in small frames for each pixel of a picture, in its pixels."""
    ratios = picture.shape[1] / flow.shape[1], picture.shape[0] / flow.shape[0]
    return np.asarray(cv2.multiply(_stretched(flow, picture), (*ratios, 0, 0)))


def _warped(picture: NDArray[Any], flow: Floats, interpolation: int, outside: Sequence[float] = ()) -> NDArray[Any]:
    """What is where the flow leads from each pixel; outside of the picture its edge, or what is given."""
    y, x = np.indices(flow.shape[:2], np.float32)
    border = cv2.BORDER_CONSTANT if outside else cv2.BORDER_REPLICATE
    return np.asarray(cv2.remap(picture, np.dstack([x, y]) + flow, None, interpolation, None, border, outside))


def _with_detail(mean: Pixels, painted: Pixels, share: Floats) -> Pixels:
    """A mean of frames with the painted frame's contrast of detail, as far as the share (h, w) says it is one."""
    area = max(1, round(DETAIL_AREA_PX * share.shape[1] / mean.shape[1]))
    energies = []
    for picture in (mean, painted):
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        detail = grey - cv2.blur(grey, (DETAIL_PX, DETAIL_PX))
        energy = cv2.resize(cv2.multiply(detail, detail), share.shape[::-1], interpolation=cv2.INTER_AREA)
        energies.append(cv2.blur(share * energy, (area, area)) + 1)
    gain = np.sqrt(energies[1] / energies[0]).clip(1, MOST_GAIN)
    gain = _stretched(1 + share * (gain - 1), mean)
    return np.asarray(cv2.blendLinear(mean, cv2.blur(mean, (DETAIL_PX, DETAIL_PX)), gain, 1 - gain))


def _thumbnail(frame: Pixels) -> Floats:
    height, width = frame.shape[:2]
    size = (THUMBNAIL_PX, max(1, round(THUMBNAIL_PX * height / width)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.float32))


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV uses one thread: workers share the machine."""
    with _alone:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield
        finally:
            cv2.setNumThreads(threads)
