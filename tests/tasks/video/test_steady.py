"""Painted frames flicker less, the same in any chunks, and nothing is smeared where the scene is another."""

import itertools
import weakref
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from atelier.tasks.images.codec import Pixels
from atelier.tasks.video.steady import MARGIN, is_cut, steady

HEIGHT, WIDTH, SPEED = 96, 128, 3  # px, and px to the left from frame to frame


def noise(seed: int, height: int, width: int, sigma_px: float) -> Pixels:
    """Smooth noise of full contrast."""
    random = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(random, (0, 0), sigma_px)
    return np.asarray((128 + 50 * smooth / smooth.std()).clip(0, 255).astype(np.uint8))


def pan(seed: int, count: int) -> list[Pixels]:
    """A camera that moves over a plane."""
    plane = noise(seed, HEIGHT, WIDTH + SPEED * count, 3)
    return [plane[:, SPEED * index : SPEED * index + WIDTH].copy() for index in range(count)]


def flickering(frames: list[Pixels], scale: int = 1) -> list[Pixels]:
    """What a painter that draws its strokes anew in each frame makes of them."""
    large = [frame.repeat(scale, 0).repeat(scale, 1) for frame in frames]
    height, width = large[0].shape[:2]
    strokes = [noise(100 + index, height, width, 1).astype(int) - 128 for index in range(len(large))]
    return [(frame + one // 2).clip(0, 255).astype(np.uint8) for frame, one in zip(large, strokes, strict=True)]


@pytest.mark.parametrize("scale", [1, 2])
def test_chunks_with_margins_have_the_pixels_of_the_whole_clip(scale: int) -> None:
    source = [*pan(0, 6), *pan(1, 5)]  # with a cut that is no border of a chunk
    painted = flickering(source, scale)
    threads = cv2.getNumThreads()
    whole = list(steady(source, painted, 0.8, range(11)))
    assert all(one.shape == frame.shape and (one != frame).any() for one, frame in zip(whole, painted, strict=True))
    chunks = []
    try:
        for begin in range(0, 11, 4):
            first, last = max(0, begin - MARGIN), min(11, begin + 4 + MARGIN)
            cv2.setNumThreads(1 + begin)
            keep = range(begin - first, min(begin + 4, 11) - first)
            chunks += list(steady(source[first:last], painted[first:last], 0.8, keep))
            assert cv2.getNumThreads() == 1 + begin
    finally:
        cv2.setNumThreads(threads)
    assert len(chunks) == 11
    assert all(np.array_equal(one, other) for one, other in zip(whole, chunks, strict=True))


def test_flicker_is_less_and_no_steadiness_changes_nothing() -> None:
    source = pan(0, 8)
    painted = flickering(source)
    untouched = list(steady(source, painted, 0.0, range(2, 5)))
    assert all(one is frame for one, frame in zip(untouched, painted[2:5], strict=True))

    def change(frames: list[Pixels]) -> float:
        """Mean square between frames along the motion, which is known."""
        pairs = itertools.pairwise(frames)
        return float(np.mean([np.square(a[:, SPEED:].astype(float) - b[:, :-SPEED]).mean() for a, b in pairs]))

    changes = [change(list(steady(source, painted, steadiness, range(8)))) for steadiness in (0.0, 0.5, 1.0)]
    assert changes[2] < changes[1] < 0.6 * changes[0]


def test_what_is_uncovered_and_what_moves_keep_their_colors() -> None:
    ground = noise(0, HEIGHT, WIDTH, 2) // 2  # dark
    source, painted = [], []
    for index in range(3):
        frame, picture = ground.copy(), np.zeros_like(ground)
        at = slice(30, 62), slice(20 + 10 * index, 52 + 10 * index)
        frame[at] = 150 + noise(1, 32, 32, 2) // 4  # a bright square passes
        picture[at] = 255, 0, 0
        source.append(frame)
        painted.append(picture)
    (made,) = steady(source, painted, 1.0, range(1, 2))
    near = cv2.dilate(cv2.Canny(painted[1], 100, 200), np.ones((5, 5), np.uint8)) > 0  # the edge itself may be softer
    error = np.abs(made.astype(int) - painted[1]).max(2)
    assert error[~near].max() <= 12
    assert np.mean(error > 32) < 0.005


def test_nothing_crosses_a_cut() -> None:
    first, second = pan(0, 3), pan(1, 3)
    pictures = flickering([*first, *second])
    assert is_cut(first[-1], second[0])
    assert not any(is_cut(*pair) for frames in (first, second) for pair in itertools.pairwise(frames))
    assert not is_cut(np.zeros_like(first[0]), np.full_like(first[0], 3))  # black with noise
    together = list(steady([*first, *second], pictures, 1.0, range(6)))
    apart = [*steady(first, pictures[:3], 1.0, range(3)), *steady(second, pictures[3:], 1.0, range(3))]
    assert all(np.array_equal(one, other) for one, other in zip(together, apart, strict=True))


def test_few_frames_are_in_memory() -> None:
    alive: list[weakref.ref[Pixels]] = []

    def read() -> Iterator[Pixels]:
        for frame in pan(0, 12):
            alive.append(weakref.ref(copy := frame.copy()))
            yield copy
            del copy

    for _ in steady(read(), flickering(pan(0, 12)), 1.0, range(12)):
        assert sum(one() is not None for one in alive) <= 2 * MARGIN + 1


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 50), (17, 9)])
def test_small_and_odd_frames(height: int, width: int) -> None:
    source = [noise(0, height, width, 1)] * 3
    made = list(steady(source, source, 1.0, range(3)))
    assert all(np.array_equal(one, frame) for one, frame in zip(made, source, strict=True))


def test_wrong_arguments() -> None:
    frames = pan(0, 2)
    with pytest.raises(ValueError, match=r"steadiness is 1\.5: expected 0 to 1"):
        list(steady(frames, frames, 1.5, range(2)))
    with pytest.raises(ValueError, match="shorter"):
        list(steady(frames, frames[:1], 1.0, range(2)))
