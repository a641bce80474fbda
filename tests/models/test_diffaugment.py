"""DiffAugment does to each picture what its numbers say, and gradients pass."""

import pytest
import torch
from torch import Tensor

from atelier.models.diffaugment import DRAWS, Policy, diffaugment
from atelier.models.random_draws import uniform

STILL = 0.5  # the draw that changes nothing, of any colour or shift


def draws(*columns: tuple[int, float]) -> Tensor:
    row = torch.full((1, DRAWS), STILL)
    for index, value in columns:
        row[0, index] = value
    return row


def picture(size: int = 8) -> Tensor:
    return torch.arange(1.0, 3 * size * size + 1).reshape(1, 3, size, size) / (3 * size * size)


def test_brightness_saturation_and_contrast() -> None:
    x = torch.tensor([[[[0.3]], [[0.0]], [[-0.3]]], [[[0.6]], [[0.3]], [[0.0]]]])  # (2, 3, 1, 1)
    x = torch.cat([x[:1], x[1:]], dim=3)  # one picture of two pixels, grays 0 and 0.3, mean 0.15
    assert torch.equal(diffaugment(x, ("color",), draws()), x)
    for column, value, expected in (
        (0, 0.0, x - 0.5),
        (0, 0.75, x + 0.25),
        (1, 0.0, x.mean(1, keepdim=True).expand_as(x)),
        (1, 0.75, torch.tensor([[[[0.45, 0.75]], [[0.0, 0.3]], [[-0.45, -0.15]]]])),
        (2, 0.0, torch.tensor([[[[0.225, 0.375]], [[0.075, 0.225]], [[-0.075, 0.075]]]])),
    ):
        torch.testing.assert_close(diffaugment(x, ("color",), draws((column, value))), expected)
    bright = diffaugment(torch.ones(1, 3, 2, 2), ("color",), draws((0, 0.9)))
    assert bright.min() > 1.3  # no clamp


def test_translation_moves_zeros_in() -> None:
    x = picture()  # of 8 px, so by -1, 0 or 1
    down, right = (diffaugment(x, ("translation",), draws((column, 0.99)))[0] for column in (3, 4))
    assert torch.equal(down[:, 1:], x[0, :, :-1])
    assert not down[:, 0].any()
    assert torch.equal(right[:, :, 1:], x[0, :, :, :-1])
    assert not right[:, :, 0].any()
    up_left = diffaugment(x, ("translation",), draws((3, 0.0), (4, 0.0)))[0]
    assert torch.equal(up_left[:, :-1, :-1], x[0, :, 1:, 1:])
    assert not up_left[:, -1].any()
    assert not up_left[:, :, -1].any()
    assert torch.equal(diffaugment(x, ("translation",), draws()), x)


def test_cutout_makes_a_hole_of_half_the_side() -> None:
    x = picture()
    for row, column, rows, columns in ((0.0, 0.0, (0, 2), (0, 2)), (0.5, 0.999, (2, 6), (6, 8))):
        found = diffaugment(x, ("cutout",), draws((5, row), (6, column)))[0]
        expected = x[0].clone()
        expected[:, slice(*rows), slice(*columns)] = 0
        assert torch.equal(found, expected)


def test_every_shift_and_place_is_as_likely() -> None:
    numbers = uniform(seed=1, step=2, first=0, count=2000, numbers=DRAWS, salt=3)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    x = torch.zeros(2000, 3, 16, 16)
    x[:, :, 8, 8] = 1
    moved = diffaugment(x, ("translation",), numbers)[:, 0].mean(0)  # (16, 16)
    assert torch.count_nonzero(moved) == 25
    assert (moved[6:11, 6:11] - 1 / 25).abs().max() < 0.02
    hole = diffaugment(torch.ones(2000, 3, 16, 16), ("cutout",), numbers)[:, 0]
    assert hole.flatten(1).sum(1).min() == 256 - 64
    assert 0.1 < 1 - hole.mean() < 0.25


@pytest.mark.parametrize("policy", [(), ("color",), ("translation",), ("cutout",), ("color", "translation", "cutout")])
def test_each_picture_is_changed_by_its_place_alone(policy: tuple[Policy, ...]) -> None:
    x = torch.rand(6, 3, 12, 20) * 2 - 1
    whole = diffaugment(x, policy, uniform(4, 7, 0, 6, DRAWS, salt=1))
    parts = [
        diffaugment(x[first:last], policy, uniform(4, 7, first, last - first, DRAWS, salt=1))
        for first, last in ((0, 1), (1, 4), (4, 6))
    ]
    assert torch.equal(whole, torch.cat(parts))
    if policy:
        assert not torch.equal(whole, x)
        others = [(5, 7, 1), (4, 8, 1), (4, 7, 2)]
        assert all(
            not torch.equal(whole, diffaugment(x, policy, uniform(s, t, 0, 6, DRAWS, salt))) for s, t, salt in others
        )
    else:
        assert torch.equal(whole, x)


def test_gradients_flow() -> None:
    x = (torch.rand(2, 3, 8, 8, dtype=torch.float64) * 2 - 1).requires_grad_()
    numbers = uniform(0, 0, 0, 2, DRAWS, 0)
    policy: tuple[Policy, ...] = ("color", "translation", "cutout")
    assert torch.autograd.gradcheck(lambda x: diffaugment(x, policy, numbers), x)
    (gradient,) = torch.autograd.grad(diffaugment(x, policy, numbers).sum(), x)
    assert gradient.abs().flatten(1).sum(1).min() > 0
