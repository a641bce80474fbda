"""Restoring: pictures are spoiled as cameras and files spoil them, and training undoes it."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from atelier.models.configs.restoration import UNTOLD, RestoreConfig
from atelier.models.controls import Controls
from atelier.models.degradations import (
    DRAWS,
    KERNEL_PX,
    blurred,
    degraded,
    gaussian,
    jpeg,
    motion,
    rounded,
)
from atelier.models.methods.base import Batch
from atelier.models.methods.restore import Restore, charbonnier
from atelier.models.networks.restorer import Restorer
from atelier.models.pixels import downscaled, to_float, to_uint8, upscaled
from atelier.models.random_draws import uniform
from tests.models.tiny import RESTORE, TRAINING, ignore, trainer


def smooth(count: int, size: int = 48) -> Tensor:
    """uint8 (count, 3, size, size): gradients with edges, as photographs have."""
    x = torch.linspace(0, 3, size)
    planes = torch.stack([torch.sin(x[:, None] * (n + 1) + x * (c + 1)) for n in range(count) for c in range(3)])
    return to_uint8((planes + 0.3 * planes.sign()).view(count, 3, size, size) / 1.3)


def shown(config: RestoreConfig, pictures: Tensor, first: int = 0) -> tuple[Tensor, Tensor]:
    """Degraded pictures and what is told of their noise."""
    x = to_float(pictures, pictures.device)
    size = x[0].numel() // config.scale**2
    grain = uniform(0, 0, first, len(x), size, 1).view(len(x), 3, x.shape[2] // config.scale, -1)
    given = degraded(x, replace(config, alike=0.0), uniform(0, 0, first, len(x), DRAWS, 0), grain)
    return given.pictures, given.noise


@pytest.mark.parametrize("quality", [10, 20, 75, 95])
def test_jpeg_is_what_a_library_writes(quality: int) -> None:
    picture = smooth(1, 50)
    picture = picture + (torch.rand(picture.shape, generator=torch.Generator().manual_seed(0)) * 20).byte()
    file = io.BytesIO()
    Image.fromarray(picture[0].permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    written = torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1).float()
    ours = (jpeg(to_float(picture, picture.device), torch.tensor([quality]))[0] + 1) * 127.5
    lost = (written - picture[0].float()).square().mean()
    assert (ours - written).square().mean() < 0.1 * lost + 0.5


def test_kernels_are_blurs() -> None:
    angle = torch.tensor([0.0, torch.pi / 2])
    line = motion(torch.tensor([9.0, 9.0]), angle)
    torch.testing.assert_close(line.sum((1, 2)), torch.ones(2))
    torch.testing.assert_close(line[0], line[1].T, rtol=0, atol=1e-6)
    middle = KERNEL_PX // 2
    assert line[0, middle, middle - 3 : middle + 4].std() < 1e-3, "even along the line"
    assert line[0, middle].sum() > 0.75, "and thin across it"
    round_one = gaussian(torch.tensor([2.0]), torch.tensor([2.0]), torch.tensor([0.3]))[0]
    at = torch.arange(KERNEL_PX) - middle
    assert (round_one.sum(0) * at**2).sum() == pytest.approx(4.0, rel=0.01), "its variance"
    flat = torch.full((2, 3, 40, 40), 0.3)
    torch.testing.assert_close(blurred(flat, line), flat)


def test_degradations_are_functions_of_the_place() -> None:
    config = replace(RESTORE, faults=("blur", "dark", "noise", "jpeg"), mixed=0.5)
    pictures = smooth(6)
    whole, told = shown(config, pictures)
    parts = [shown(config, pictures[n : n + 2], n) for n in (0, 2, 4)]
    torch.testing.assert_close(torch.cat([part for part, _ in parts]), whole, rtol=0, atol=1e-6)
    assert torch.equal(torch.cat([part for _, part in parts]), told)
    assert len({tuple(row.flatten().tolist()) for row in whole}) == 6


@pytest.mark.parametrize("fault", ["blur", "dark", "noise", "jpeg"])
def test_each_fault_spoils_and_noise_is_told(fault: Any) -> None:
    config = replace(RESTORE, faults=(fault,), told=1.0, noise_from=20.0, noise_to=30.0)
    pictures = smooth(8)
    x = to_float(pictures, pictures.device)
    given, told = shown(config, pictures)
    assert ((given - x).square().mean((1, 2, 3)) > 1e-5).all()
    if fault == "noise":
        assert (told >= 20).all()
        sigma = ((given - x) * 127.5).std((1, 2, 3))
        torch.testing.assert_close(sigma, told, rtol=0.25, atol=0.0)
    else:
        assert (told == 0).all()
        torch.testing.assert_close(given, rounded(given), rtol=0, atol=1e-6)
    assert (shown(replace(config, told=0.0), pictures)[1] == UNTOLD).all()


def test_noise_may_be_alike_in_the_colours_and_pictures_grey() -> None:
    x = to_float(smooth(40), torch.device("cpu"))
    grain = uniform(0, 0, 0, len(x), x[0].numel(), 1).view_as(x)
    config = replace(RESTORE, faults=("noise",), alike=0.5, noise_from=20.0, noise_to=20.0, told=1.0)
    given = degraded(x, config, uniform(0, 0, 0, len(x), DRAWS, 0), grain)
    noise = given.pictures - given.sharp
    likeness = torch.stack([torch.corrcoef(one.flatten(1))[0, 1] for one in noise])
    grey = (given.sharp - given.sharp[:, :1]).abs().amax((1, 2, 3)) == 0
    assert 0.1 < grey.float().mean() < 0.4
    assert (likeness[grey] > 0.99).all()
    assert (likeness < 0.1).float().mean() > 0.3
    assert ((likeness > 0.1) & (likeness < 0.9)).any(), "all between"
    torch.testing.assert_close(given.sharp[likeness < 0.1], x[likeness < 0.1])


def test_sizes_are_the_papers() -> None:
    """As Pillow's bicubic filter, whose constant is that of MATLAB's `imresize`."""
    picture = smooth(1, 48)
    by_pillow = Image.fromarray(picture[0].permute(1, 2, 0).numpy()).resize((24, 24), Image.Resampling.BICUBIC)
    ours = downscaled(picture, 2)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours.astype(int) - np.asarray(by_pillow)).max() <= 1
    assert upscaled(downscaled(picture, 2), 2).shape == picture.shape


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_network_begins_near_its_picture(scale: int) -> None:
    network = Restorer(8, 2, scale)
    x = torch.rand(2, 3, 12, 20) * 2 - 1
    y = network(x)
    assert y.shape == (2, 3, 12 * scale, 20 * scale)
    assert (y[:, :, ::scale, ::scale] - x).abs().mean() < 0.1


@pytest.mark.parametrize(("scale", "coarse"), [(1, 0), (2, 0), (1, 1)])
def test_a_pixel_depends_on_what_is_in_reach_only(scale: int, coarse: int) -> None:
    network = Restorer(8, 1, scale, coarse)
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    changed = x.clone()
    changed[:, :, :, 32] += 0.5
    difference = (network(changed) - network(x)).abs().amax((0, 1, 2))
    assert difference[: scale * (32 - network.reach)].max() == 0
    assert difference[scale * (33 + network.reach) :].max() == 0
    assert difference[scale * 32] > 0


def test_it_is_told_of_noise_or_restores_blind() -> None:
    network = Restorer(8, 1, 1)
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    blind = network(x)
    torch.testing.assert_close(network.told(25.0)(x), network(x, torch.tensor([25.0, 25.0])))
    assert not torch.equal(network.told(25.0)(x), blind)
    torch.testing.assert_close(network(x, torch.full((2,), UNTOLD)), blind)
    painter = Restore.painter(RESTORE, network, Controls(noise=25.0))
    assert torch.equal(painter(x), network.told(25.0)(x).clamp(-1, 1))
    with pytest.raises(ValueError, match="noise must be from 0 to 100"):
        Controls(noise=-1.0)


def test_the_loss_is_the_distance_of_pixels() -> None:
    x, y = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    assert charbonnier(x, y).item() == pytest.approx((x - y).abs().mean().item(), rel=0.01)
    assert charbonnier(x, x).item() == pytest.approx(1e-3)


@pytest.mark.long
@pytest.mark.parametrize("scale", [1, 2])
def test_training_restores(scale: int) -> None:
    faults: Any = ("noise",) if scale == 1 else ()
    t = trainer(replace(RESTORE, faults=faults, scale=scale, noise_from=30.0, noise_to=30.0), steps=150)
    pictures = smooth(8)
    untrained = t.sample(pictures)
    t.run(lambda step: Batch(pictures[:4], pictures[4:]), ignore, ignore, ignore)
    before, after = (((made.float() - pictures) / 255).square().mean() for made in (untrained, t.sample(pictures)))
    assert after < 0.7 * before


def test_every_term_of_the_loss_moves_the_network() -> None:
    ends = []
    for name in ("pixel", "perceptual", "adversarial"):
        silent = {"pixel_weight": 0.0, "perceptual_weight": 0.0, "adversarial_weight": 0.0}
        t = trainer(replace(RESTORE, **(silent | {f"{name}_weight": 1.0})), steps=1)
        begun = [p.detach().clone() for p in t.method.modules["generator"].parameters()]
        t.run(lambda step: Batch(smooth(TRAINING.batch_size), smooth(TRAINING.batch_size)), ignore, ignore, ignore)
        ends.append(t.method.modules["generator"].tail.weight.detach())  # type: ignore[union-attr]
        assert any(
            not torch.equal(a, b) for a, b in zip(begun, t.method.modules["generator"].parameters(), strict=True)
        )
    assert not torch.equal(ends[0], ends[1])


def test_settings_that_leave_nothing_to_learn_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to repair"):
        RestoreConfig(faults=())
    with pytest.raises(ValueError, match="over noise_to"):
        RestoreConfig(noise_from=60.0)
    with pytest.raises(ValueError, match="twice"):
        RestoreConfig(faults=("noise", "noise"))
