"""An enlarged painting has the edges of its original, sharp strokes, no grain, and none of the strips it is made in."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from atelier.models import enlarging
from atelier.models.enlarging import enlarged, linear_rows, resized, step_sizes, strips


def noise(*shape: int) -> Tensor:
    """In [-1, 1]."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def whole(painted: Tensor, picture: Tensor) -> Tensor:
    """The painting at the size of the picture."""
    size = (picture.shape[2], picture.shape[3])
    sizes = step_sizes((painted.shape[2], painted.shape[3]), size)
    last = enlarged(painted, [resized(picture, each) for each in sizes])
    return linear_rows(last, size, 0, size[0])


def test_a_painting_grows_in_two_steps_of_twice_the_size() -> None:
    assert step_sizes((30, 40), (300, 400)) == [(30, 40), (60, 80), (120, 160)]
    assert step_sizes((30, 40), (90, 121)) == [(30, 40), (60, 80), (90, 121)]
    assert step_sizes((30, 40), (45, 60)) == [(30, 40), (45, 60)]


def test_rows_are_those_of_the_bilinear_interpolation() -> None:
    x = noise(2, 3, 13, 17)
    for size in ((41, 60), (13, 30), (13, 17)):
        wanted = F.interpolate(x, size, mode="bilinear")
        assert (linear_rows(x, size, 0, size[0]) - wanted).abs().max() < 1e-5
        assert torch.equal(linear_rows(x, size, 5, 11), linear_rows(x, size, 0, size[0])[:, :, 5:11])
    assert torch.equal(linear_rows(x, (13, 17), 0, 13), x)


def test_strips_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    painted, picture = noise(1, 3, 23, 31), (noise(1, 3, 101, 143) * 127.5 + 127.5).to(torch.uint8)
    made = []
    for pixels in (2**18, 143 * 7, 1):
        monkeypatch.setattr(enlarging, "STRIP_PIXELS", pixels)
        made.append(whole(painted, picture))
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])


class LargestFloats(TorchDispatchMode):
    """Records the size of the largest tensor of floats that is made."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and made.is_floating_point():
            self.largest = max(self.largest, made.numel())
        return made


def test_no_copy_of_a_large_picture_is_made_in_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enlarging, "STRIP_PIXELS", 40_000)
    picture = torch.zeros(1, 3, 600, 800, dtype=torch.uint8)
    with LargestFloats() as found:
        small = resized(picture, (60, 80))
        assert found.largest < picture.numel() / 5
        sizes = step_sizes((60, 80), (600, 800))
        last = enlarged(small, [resized(picture, size) for size in sizes])
        for top, end in strips((600, 800)):
            linear_rows(last, (600, 800), top, end)
    assert sizes[-1] == (240, 320)
    assert found.largest < picture.numel() / 2, "rows of the full height and the last step's width"


def test_edges_are_those_of_the_original_and_sharp() -> None:
    picture = torch.full((1, 3, 90, 120), 0.6)
    picture[..., 53:] = -0.5  # no edge of a pixel at the small size
    colour = torch.tensor([0.9, -0.2, 0.4])[:, None, None]
    painted = resized(picture, (30, 40)) * colour  # it follows the original
    wanted = picture * colour
    plain = linear_rows(painted, (90, 120), 0, 90)
    made = whole(painted, picture)
    assert (made - wanted).abs().mean() < 0.75 * (plain - wanted).abs().mean()
    assert torch.allclose(made.amin((2, 3)), wanted.amin((2, 3)), atol=1e-5), "a halo"
    assert torch.allclose(made.amax((2, 3)), wanted.amax((2, 3)), atol=1e-5), "a halo"


def test_strokes_that_the_original_has_not_are_kept_and_sharpened() -> None:
    picture = torch.zeros(1, 3, 90, 120)
    painted = torch.full((1, 3, 30, 40), -0.5)
    painted[:, :, :, 20:] = 0.5
    made, plain = whole(painted, picture), linear_rows(painted, (90, 120), 0, 90)
    slope = [(x[..., 1:] - x[..., :-1]).abs().max() for x in (made, plain)]
    assert slope[0] > 1.5 * slope[1]
    assert made.abs().max() <= 0.55


def test_grain_of_the_original_does_not_come_through() -> None:
    grain = 0.05 * noise(1, 3, 90, 120)
    painted = resized(grain, (30, 40)) * 0.5 + 0.3
    assert whole(painted, grain).std() < 1.2 * painted.std()
