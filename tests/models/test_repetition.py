"""Repeating patterns are told from brush strokes, on pictures that are drawn with and without them."""

import math

import pytest
import torch
from torch import Tensor

from atelier.models.metrics.repetition import VISIBLE, repetition

SIDE = 192
PLAIN = torch.linspace(0.3, 0.6, SIDE)[:, None].expand(3, SIDE, SIDE)[None]  # a sky


def grid() -> tuple[Tensor, Tensor]:
    axis = torch.arange(SIDE, dtype=torch.float32)
    return axis[:, None], axis[None]


def strokes(length: float, width: float, degrees: float, seed: int = 0) -> Tensor:
    """Noise of brush strokes (1, 3, SIDE, SIDE) of one direction and one width: their spectrum is a hump beside 0."""
    noise = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    fy, fx = torch.fft.fftfreq(SIDE)[:, None], torch.fft.fftfreq(SIDE)[None]
    turn = math.radians(degrees)
    along, across = fx * math.cos(turn) + fy * math.sin(turn), fy * math.cos(turn) - fx * math.sin(turn)
    hump = (across.abs() - 0.5 / width).square() * width**2
    shaped = torch.fft.ifft2(torch.fft.fft2(noise) * torch.exp(-((along * length) ** 2) - 4 * hump)).real
    return 0.06 * (shaped / shaped.std())[None]


def dots(period: float, degrees: float, strength: float = 0.15) -> Tensor:
    """Violet dots on a square grid, (1, 3, SIDE, SIDE)."""
    y, x = grid()
    turn = math.radians(degrees)
    u, v = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    waves = (torch.cos(2 * math.pi * u / period) + torch.cos(2 * math.pi * v / period)) / 2
    return strength * waves.clamp_min(0) * torch.tensor([0.6, -0.6, 0.8])[None, :, None, None]


@pytest.mark.parametrize(
    ("length", "width", "degrees"), [(12, 3, 0), (24, 4, 0), (16, 4, 45), (24, 8, 120), (4, 6, 10)]
)
def test_strokes_of_one_direction_and_width_do_not_repeat(length: float, width: float, degrees: float) -> None:
    assert float(repetition(PLAIN, PLAIN + strokes(length, width, degrees))) < VISIBLE


def test_noise_and_a_change_of_colour_do_not_repeat() -> None:
    noise = 0.05 * torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    assert float(repetition(PLAIN, PLAIN + noise)) < VISIBLE / 2
    assert float(repetition(PLAIN, 1 - PLAIN * torch.tensor([0.9, 0.5, 0.2])[:, None, None])) < VISIBLE


@pytest.mark.parametrize("degrees", [0, 23, 45])
@pytest.mark.parametrize("period", [3, 4, 5.5, 8, 12, 16])
def test_rows_of_dots_among_strokes_do(period: float, degrees: float) -> None:
    painted = PLAIN + 0.3 * strokes(12, 4, 70)
    assert float(repetition(PLAIN, painted + dots(period, degrees))) > VISIBLE


@pytest.mark.parametrize("both", [True, False])
def test_a_checkerboard_and_stripes_of_two_pixels_do(both: bool) -> None:
    y, x = grid()
    board = torch.cos(math.pi * (x + y if both else x + 0 * y)).expand(3, SIDE, SIDE)
    assert float(repetition(PLAIN, PLAIN + 0.3 * strokes(12, 4, 70) + 0.03 * board)) > VISIBLE


def test_what_8_bits_hide_is_not_seen() -> None:
    assert float(repetition(PLAIN, PLAIN + dots(4, 0, 0.1 / 255))) < VISIBLE


def test_only_plain_areas_count() -> None:
    """Dots over foliage are not looked at, and a picture of foliage alone has no score."""
    leaves = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
    assert repetition(leaves, leaves + dots(4, 0)).isnan()
    half = torch.cat([PLAIN[..., : SIDE // 2], leaves[..., : SIDE // 2]], 3)
    only_leaves = torch.cat([torch.zeros(1, 3, SIDE, SIDE // 2), dots(4, 0)[..., : SIDE // 2]], 3)
    painted = half + 0.3 * strokes(12, 4, 70)
    both = repetition(half.repeat(2, 1, 1, 1), torch.cat([painted, painted + only_leaves]))
    assert (both < VISIBLE).all()
    assert repetition(torch.zeros(2, 3, 48, 48), torch.zeros(2, 3, 48, 48)).isnan().all(), "too small for a window"


def test_a_picture_that_was_left_alone_has_no_pattern() -> None:
    assert float(repetition(PLAIN, PLAIN)) < VISIBLE
