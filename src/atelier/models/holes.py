"""Holes that are drawn at random: strokes, most of the time, and boxes.

Strokes are random walks of a round brush, as in Yu et al. 2019, "Free-Form Image Inpainting with Gated Convolution",
section 3.3. Everything follows from the random numbers that are given.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

STROKES, BOXES = 8, 4  # of a picture, at most
POINTS = 8  # of a stroke
STROKE_NUMBERS = 4 + POINTS  # random numbers that a stroke takes
NUMBERS = 2 + STROKES * STROKE_NUMBERS  # that a hole takes, at most
BOXED = 0.25  # share of the pictures that have boxes instead of strokes
SHARES = 0.1, 0.4  # of the picture that is hole, or a little more: shapes are added until it is reached
BREADTHS = 6.0, 40.0  # of a brush, px; a quarter of the picture's shorter side, at most
STEP = 20.0  # from point to point of a stroke, px
TURN = 1.2  # largest change of its direction at a point, radians
SIDES = 0.12, 0.45  # of a box, as shares of the picture's


def drawn_holes(numbers: Tensor, height: int, width: int, cell: int = 1) -> Tensor:
    """Holes (B, 1, H, W) float32, 1 where a picture is to be filled.

    Args:
        numbers: (B, NUMBERS) in [0, 1).
        cell: pixels of a side that are one here, where a picture is shown smaller.
    """
    return torch.stack([_hole(row.tolist(), height, width, cell) for row in numbers])[:, None]


def _hole(numbers: list[float], height: int, width: int, cell: int) -> Tensor:
    """One hole (H, W)."""
    draw = iter(numbers)
    boxed, wanted = next(draw) < BOXED, _between(SHARES, next(draw))
    hole = torch.zeros(height, width)
    for _ in range(BOXES if boxed else STROKES):
        if hole.mean().item() >= wanted:
            break
        shape = _box(draw, height, width) if boxed else drawn_stroke(draw, height, width, cell)
        hole = torch.maximum(hole, shape)
    return hole


def _box(draw: Iterator[float], height: int, width: int) -> Tensor:
    """(H, W), 1 inside a box."""
    box = torch.zeros(height, width)
    down, across = (max(1, round(size * _between(SIDES, next(draw)))) for size in (height, width))
    top, left = int(next(draw) * (height - down + 1)), int(next(draw) * (width - across + 1))
    box[top : top + down, left : left + across] = 1
    return box


def drawn_stroke(draw: Iterator[float], height: int, width: int, cell: int = 1) -> Tensor:
    """(H, W), 1 where a round brush was that went from point to point in a random walk.

    Args:
        draw: numbers in [0, 1), of which STROKE_NUMBERS are taken.
        cell: see `drawn_holes`.
    """
    step = STEP / cell
    radius = min(_between(BREADTHS, next(draw)) / cell, min(height, width) / 4) / 2
    y, x, angle = next(draw) * height, next(draw) * width, next(draw) * 2 * math.pi
    points = [(y, x)]
    for _ in range(POINTS):
        angle += (2 * next(draw) - 1) * TURN
        y, x = y + step * math.sin(angle), x + step * math.cos(angle)
        points.append((y, x))
    path = torch.tensor(points)  # (POINTS + 1, 2)
    start, along = path[:-1, :, None, None], path.diff(dim=0)[:, :, None, None]  # (POINTS, 2, 1, 1)
    places = torch.stack(torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij"))
    apart = places - start  # (POINTS, 2, H, W)
    nearest = ((apart * along).sum(1) / step**2).clamp(0, 1)  # of the segment, as a share of it
    squares = (apart - nearest[:, None] * along).square().sum(1)
    return (squares.amin(0) <= radius**2).float()


def _between(bounds: tuple[float, float], share: float) -> float:
    return bounds[0] + share * (bounds[1] - bounds[0])
