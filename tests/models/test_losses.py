"""Losses against their equations, written out."""

import math

import pytest
import torch

from atelier.models.losses.adversarial import Adversarial, accuracy, discriminator_loss, generator_loss
from atelier.models.losses.perceptual import (
    content_loss,
    gram,
    identity_loss,
    luminance_loss,
    palette,
    palette_loss,
    style_loss,
    tone,
    tone_loss,
    total_variation,
)
from atelier.models.losses.repetition import repetition_loss


def test_gram_is_gatys_equation_3() -> None:
    f = torch.randn(2, 3, 4, 5)
    expected = torch.zeros(2, 3, 3)
    for b in range(2):
        for i in range(3):
            for j in range(3):
                expected[b, i, j] = sum(f[b, i, y, x] * f[b, j, y, x] for y in range(4) for x in range(5)) / 20
    torch.testing.assert_close(gram(f), expected)


def test_style_loss_is_zero_at_the_target_and_one_at_nothing() -> None:
    f = {"a": torch.randn(1, 3, 8, 8), "b": torch.randn(1, 5, 4, 4)}
    target = {name: gram(value)[0] for name, value in f.items()}
    assert style_loss(target, target).item() == 0
    assert style_loss({name: value * 0 for name, value in target.items()}, target).item() == pytest.approx(1)
    half = {"a": target["a"] * 0, "b": target["b"]}  # layers weigh the same, whatever their size
    assert style_loss(half, target).item() == pytest.approx(0.5)


def test_content_loss_is_relative_and_sees_places() -> None:
    f = torch.randn(2, 3, 4, 4)
    assert content_loss(f, f).item() == 0
    assert content_loss(f * 0, f).item() == pytest.approx(1)
    assert content_loss(f.flip(3), f).item() > 0.5
    torch.testing.assert_close(content_loss(f * 10, f * 9), content_loss(f / 9, f / 10))


def test_total_variation_and_identity() -> None:
    ramp = torch.arange(4.0).expand(1, 1, 3, 4)
    assert total_variation(ramp).item() == 1
    assert total_variation(ramp * 0 + 5).item() == 0
    assert identity_loss(ramp + 0.25, ramp).item() == 0.25


@pytest.mark.parametrize("kind", ["hinge", "least_squares", "non_saturating", "wasserstein"])
def test_discriminator_wants_real_up_and_painted_down(kind: Adversarial) -> None:
    real, fake = torch.tensor([1.0]), torch.tensor([0.0 if kind == "least_squares" else -1.0])
    assert discriminator_loss(kind, real, fake) < discriminator_loss(kind, fake, real)
    assert generator_loss(kind, real) < generator_loss(kind, fake)
    assert accuracy(kind, real, fake) == 1
    assert accuracy(kind, fake, real) == 0
    assert accuracy(kind, torch.cat([real, fake]), torch.cat([real, fake])) == 0.5


def test_values_of_the_equations() -> None:
    real, fake = torch.tensor([0.5, 2.0]), torch.tensor([-0.5, 1.0])
    assert discriminator_loss("hinge", real, fake).item() == pytest.approx(0.25 + 1.25)
    assert discriminator_loss("least_squares", real, fake).item() == pytest.approx(0.5 * 0.625 + 0.5 * 0.625)
    assert discriminator_loss("wasserstein", real, fake).item() == pytest.approx(0.25 - 1.25)
    logs = -(math.log(sigmoid(0.5)) + math.log(sigmoid(2)) + math.log(1 - sigmoid(-0.5)) + math.log(1 - sigmoid(1))) / 2
    assert discriminator_loss("non_saturating", real, fake).item() == pytest.approx(logs)
    assert generator_loss("hinge", fake).item() == generator_loss("wasserstein", fake).item() == pytest.approx(-0.25)
    assert generator_loss("least_squares", fake).item() == pytest.approx(1.125)
    logs = -(math.log(sigmoid(-0.5)) + math.log(sigmoid(1))) / 2
    assert generator_loss("non_saturating", fake).item() == pytest.approx(logs)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_luminance_loss_forbids_the_negative_and_leaves_brightness_and_contrast_to_the_style() -> None:
    content = torch.rand(2, 3, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3) * 2 - 1
    assert luminance_loss(content, content) < 0.2
    assert luminance_loss(0.5 * content + 0.3, content) < 0.2
    assert luminance_loss(-content, content) > 1.8
    torch.testing.assert_close(luminance_loss(torch.full_like(content, 0.4), content), torch.tensor(1.0))


def test_repetition_loss_tells_rows_of_dots_from_dots_that_lie_anywhere() -> None:
    random = torch.Generator().manual_seed(0)
    plain, rows = torch.zeros(1, 3, 96, 128), torch.zeros(1, 3, 96, 128)
    rows[:, :, ::8, ::8] = 1
    anywhere = (torch.rand(1, 1, 96, 128, generator=random) < 1 / 64).float().expand_as(rows)
    noisy = anywhere + 0.1 * torch.rand(rows.shape, generator=random)
    assert repetition_loss(rows, plain) > 100 * repetition_loss(noisy, plain)
    assert repetition_loss(rows, rows) == 0  # the picture's own
    assert repetition_loss(rows[..., :32], plain[..., :32]) == 0  # too small to tell


def test_tone_loss_wants_the_contents_light_and_dark_in_the_contrast_of_the_style() -> None:
    random = torch.Generator().manual_seed(0)
    cells = torch.rand(2, 3, 8, 8, generator=random)
    content = torch.nn.functional.interpolate(cells, scale_factor=8) * 0.4
    style = torch.rand(2, 3, 64, 64, generator=random).round() * 1.6 - 1
    style[..., :32] = -1  # the half of it is dark
    light = content.mean((1, 2, 3), keepdim=True)
    wanted = style.mean((1, 2, 3), keepdim=True) + (content - light) * 3
    given = tone(style)
    assert tone_loss(wanted, content, given) < 0.5 < tone_loss(content, content, given)
    assert tone_loss(2 * style.mean((1, 2, 3), keepdim=True) - wanted, content, given) > 2  # the negative
    assert tone_loss(style, style, given) < 1e-3
    halves = torch.stack([style[..., :32], style[..., 32:]])  # a dark and a light window
    windows = torch.stack([tone(half) for half in halves]).mean(0)
    torch.testing.assert_close(windows, given, msg="the means of its windows are those of a painting")


def test_palette_loss_is_half_the_energy_distance_along_each_direction() -> None:
    random = torch.Generator().manual_seed(0)
    cells = [torch.rand(1, 3, 4, 6, generator=random) ** power * 2 - 1 for power in (1, 3)]
    painted, style = (torch.nn.functional.interpolate(x, scale_factor=8) for x in cells)
    wanted, step = palette(style), 2 / (palette(style).shape[2] - 1)
    for axis, direction in enumerate((4, 10, 12)):  # red, green, blue
        x, y = (one[0, axis].flatten() for one in cells)
        between, of_x, of_y = ((a[:, None] - b).abs().mean() for a, b in ((x, y), (x, x), (y, y)))
        found = (palette(painted) - wanted).square()[0, direction].sum() * step
        assert float(found) == pytest.approx(float(between - of_x / 2 - of_y / 2), rel=0.1)
    grey = style.mean(1, keepdim=True).expand_as(style)
    assert palette_loss(style, wanted) < 1e-6 < 0.1 < palette_loss(grey, wanted)
    halves = torch.stack([palette(style[..., :24]), palette(style[..., 24:])]).mean(0)
    torch.testing.assert_close(halves, wanted, msg="the means of its windows are those of a painting")
