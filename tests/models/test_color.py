"""Colour transfer reaches the statistics of the style, and is exact where it should be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models.checkpoint import load_checkpoint, save_checkpoint
from atelier.models.configs.style_statistics import ColorConfig
from atelier.models.controls import Controls
from atelier.models.distributed import rank_places
from atelier.models.methods.base import Batch
from atelier.models.methods.color import Transfer, composed, from_lab, pyramid, statistics, to_lab
from atelier.models.pixels import to_float
from atelier.models.training import Trainer
from tests.models.test_training import _connected
from tests.models.tiny import TRAINING, TinyEncoder, assert_precision_is_kept, batches, ignore, pictures, trainer

CONFIG = ColorConfig(bands=3, style_images=8)


def smooth(seed: int, low: int, high: int) -> torch.Tensor:
    """uint8 (4, 3, 32, 32) of soft shapes, with colours between two values."""
    coarse = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return (low + (high - low) * F.interpolate(coarse, size=32, mode="bilinear")).to(torch.uint8)


CONTENT, STYLE = smooth(1, 40, 200), smooth(2, 90, 160)


def learned(config: ColorConfig = CONFIG, style: torch.Tensor = STYLE) -> Trainer:
    t = trainer(config)
    t.run(lambda step: Batch(CONTENT, style), ignore, ignore, ignore)
    return t


def test_the_space_is_the_papers() -> None:
    """Grey has hardly opponent colours and l is √3 times its logarithm: rows of equation 4 sum to about 1."""
    l, a, b = to_lab(torch.zeros(1, 3, 1, 1))[0, :, 0, 0].tolist()  # noqa: E741
    assert l == pytest.approx(3**0.5 * np.log10(0.5), abs=5e-3)
    assert abs(a) < 5e-3
    assert abs(b) < 5e-3
    r, g, b = 0.9, 0.2, 0.4
    cones = [0.3811 * r + 0.5783 * g + 0.0402 * b, 0.1967 * r + 0.7244 * g + 0.0782 * b]
    cones = np.log10([*cones, 0.0241 * r + 0.1288 * g + 0.8444 * b])
    expected = [cones.sum() / 3**0.5, (cones[0] + cones[1] - 2 * cones[2]) / 6**0.5, (cones[0] - cones[1]) / 2**0.5]
    found = to_lab(torch.tensor([r, g, b]).mul(2).sub(1)[None, :, None, None])[0, :, 0, 0]
    assert found.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (31, 17), (32, 32)])
def test_space_and_pyramid_lose_nothing(size: tuple[int, int]) -> None:
    x = to_float(torch.randint(1, 256, (2, 3, *size), dtype=torch.uint8), torch.device("cpu"))
    bands = pyramid(to_lab(x), 4)
    assert len(bands) == 4
    torch.testing.assert_close(from_lab(composed(bands)), x, atol=1e-4, rtol=0)


def test_one_band_is_reinhards_transfer() -> None:
    """Mean and deviation of every channel become the style's, as far as its colours can be shown."""
    t = learned(ColorConfig(bands=1, style_images=4))
    painted = t.sample(CONTENT)
    x = to_float(torch.cat([CONTENT, STYLE, painted]), torch.device("cpu"))
    lab = to_lab(x).numpy().reshape(3, 4, 3, -1)  # (set, picture, channel, position)
    means, deviations = lab.mean(3), lab.var(3)
    wanted = means[1].mean(0), deviations[1].mean(0) ** 0.5
    for picture in range(4):
        assert means[2, picture] == pytest.approx(wanted[0], abs=3e-3)
        assert deviations[2, picture] ** 0.5 == pytest.approx(wanted[1], rel=0.05)
    assert np.abs(means[0] - wanted[0]).max() > 0.03, "else there was nothing to transfer"


def test_every_band_has_the_statistics_of_the_style() -> None:
    t = learned()
    found = pyramid(to_lab(to_float(t.sample(CONTENT), torch.device("cpu"))), 3)
    before = pyramid(to_lab(to_float(CONTENT, torch.device("cpu"))), 3)
    wanted = pyramid(to_lab(to_float(STYLE, torch.device("cpu"))), 3)
    for painted, content, style in zip(found, before, wanted, strict=True):
        target = statistics(style)[1].mean(0).sqrt()
        gaps = [(statistics(x)[1].sqrt() / target).log().abs().mean() for x in (painted, content)]
        assert gaps[0] < 0.12, "bands overlap a little"
        assert gaps[0] < 0.4 * gaps[1]
    torch.testing.assert_close(t.sample(STYLE[:1]).float().mean(), STYLE.float().mean(), atol=3, rtol=0)


def test_a_flat_picture_gains_no_texture() -> None:
    t = learned(style=pictures(2)[:4])  # noise
    flat = torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)
    flat[:, :, ::2] += 1
    painted = t.sample(flat).float()
    assert painted.std((2, 3)).max() < 8
    assert t.sample(flat * 0).float().std((2, 3)).max() == 0


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (33, 50)])
def test_a_model_paints_any_size_as_strong_as_it_is_told(tmp_path: Path, size: tuple[int, int]) -> None:
    t = learned()
    artifact.save(tmp_path, CONFIG, t.generator_ema, {})
    model = artifact.load(tmp_path)
    assert model.config == CONFIG
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    none, half, full = (model.painter(Controls(s))(images) for s in (0.0, 0.5, 1.0))
    assert torch.equal(none, images)
    assert torch.equal(full, t.sample(images))
    if size == (33, 50):
        assert_precision_is_kept(model.painter(), images)
    assert (half.float() - (images.float() + full.float()) / 2).abs().max() <= 1
    with pytest.raises(ValueError, match="color has no control 'direction'"):
        model.painter(Controls(direction="b2a"))


def test_it_is_learned_in_one_look_and_travels_with_the_checkpoint(tmp_path: Path) -> None:
    steps: list[int] = []
    t = trainer(CONFIG)
    t.run(batches(TRAINING), lambda step, metrics: steps.append(step), ignore, ignore)
    assert steps == [TRAINING.steps]
    save_checkpoint(tmp_path / "state", t)
    resumed = trainer(CONFIG)
    load_checkpoint(tmp_path / "state", resumed)
    resumed.run(batches(TRAINING), ignore, ignore, ignore)
    for found, expected in zip(resumed.state_dict().items(), t.state_dict().items(), strict=True):
        assert found[0] == expected[0]
        assert torch.equal(found[1], expected[1])
    fresh = Transfer(3)
    assert not torch.equal(fresh.variance, t.generator_ema.variance)  # type: ignore[arg-type]


def _learn(rank: int, world_size: int, folder: str) -> None:
    _connected(rank, world_size, folder)
    training = replace(TRAINING, batch_size=5)
    assert len(rank_places(rank, world_size, 5)) in (2, 3)
    t = Trainer(CONFIG, training, TinyEncoder(), rank=rank)
    t.run(batches(training, rank, world_size), ignore, ignore, ignore)
    save_checkpoint(Path(folder) / f"{rank}.safetensors", t)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_workers_learn_as_one_does(tmp_path: Path) -> None:
    one = trainer(CONFIG, batch_size=5)
    one.run(batches(replace(TRAINING, batch_size=5)), ignore, ignore, ignore)
    torch.multiprocessing.spawn(_learn, (2, str(tmp_path)), nprocs=2)
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    for key, expected in one.state_dict().items():
        assert torch.equal(first[key], second[key])
        torch.testing.assert_close(first[key], expected, atol=1e-5, rtol=1e-4, msg=key)
