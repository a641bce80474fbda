"""Pictures from noise: networks, noise, what is generated, and how it is watched."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models.configs.gan import DcganConfig, GanConfig
from atelier.models.configs.loop import WatchdogConfig
from atelier.models.configs.style_statistics import CpganConfig
from atelier.models.controls import Controls
from atelier.models.methods import METHODS
from atelier.models.methods.base import Batch
from atelier.models.methods.cpgan import Cpgan
from atelier.models.networks.dcgan import DcganDiscriminator, DcganGenerator, DenseGenerator, PixelNorm, doublings
from atelier.models.random_draws import between, noise, normal
from atelier.models.watchdog import TrainingStopped
from tests.models.tiny import DCGAN, GAN, TRAINING, batches, ignore, pictures, trainer

pytestmark = pytest.mark.long

BOTH = pytest.mark.parametrize("config", [GAN, DCGAN], ids=["gan", "dcgan"])


def test_the_generator_is_the_papers() -> None:
    """Figure 1: 100 numbers to 4×4×1024, and halved channels at 8, 16 and 32 px, then the picture."""
    generator = DcganGenerator(100, 128, 64)
    shapes: list[tuple[int, ...]] = []
    for module in generator.modules():
        if isinstance(module, torch.nn.ConvTranspose2d):
            module.register_forward_hook(lambda _m, _i, y: shapes.append(tuple(y.shape[1:])))
    generator(torch.randn(1, 100))
    assert shapes == [(1024, 4, 4), (512, 8, 8), (256, 16, 16), (128, 32, 32), (3, 64, 64)]


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_every_size_has_its_networks(size: int) -> None:
    assert 4 * 2 ** doublings(size) == size
    for generator in (DcganGenerator(8, 4, size), DenseGenerator(8, 16, size)):
        made = generator(torch.randn(2, 8))
        assert made.shape == (2, 3, size, size)
        assert made.abs().max() <= 1
        assert DcganDiscriminator(4, size)(made).shape == (2, 1, 1, 1)


def test_a_picture_does_not_depend_on_those_beside_it() -> None:
    for generator in (DcganGenerator(8, 4, 32), DenseGenerator(8, 16, 32)):
        generator.train()
        z = torch.randn(4, 8)
        torch.testing.assert_close(generator(z)[:1], generator(z[:1]))


def test_pixel_norm() -> None:
    x = PixelNorm()(5 * torch.randn(2, 16, 3, 3))
    torch.testing.assert_close(x.square().mean(1), torch.ones(2, 3, 3))


def test_sizes_that_there_are_not_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pictures of 100 px cannot be generated: set augment\.size_px to one of 16,"):
        DcganConfig(size_px=100)
    assert DcganConfig(size_px=256).size_px == 256
    with pytest.raises(ValueError, match=r"one of 16, 32, 64, 128$"):
        GanConfig(size_px=256)
    with pytest.raises(ValueError, match=r"train\.gan\.size_px is 0"):
        trainer(GanConfig())


def test_noise_is_normal_and_a_function_of_seed_and_index() -> None:
    z = noise(0, range(400), 100)
    assert z.mean().abs() < 0.02
    assert z.std().item() == pytest.approx(1, abs=0.02)
    assert 0.94 < (z.abs() < 1.96).float().mean() < 0.96
    assert torch.equal(noise(0, [7, 3], 100), z[[7, 3]])
    assert not torch.equal(noise(1, [7], 100), z[7:8])
    cut = noise(0, range(400), 100, 0.8)
    assert cut.abs().max() <= 0.8 < z.abs().max()
    expected = z[(z.abs() < 0.8)].std().item()
    assert cut.std().item() == pytest.approx(expected, abs=0.02), "the normal distribution within bounds"
    assert torch.equal(cut.argsort(), z.argsort()), "each number grows with its uniform one"
    assert normal(torch.tensor([0.0, 1 - 2**-24])).isfinite().all()


def test_the_way_between_two_keeps_its_length() -> None:
    a, b = noise(0, (0, 1), 500)
    way = between(a, b, 9)
    torch.testing.assert_close(way[0], a)
    torch.testing.assert_close(way[-1], b)
    lengths = way.norm(dim=1)
    assert lengths.min() > 0.99 * min(a.norm(), b.norm()), "a straight line would cut through the middle"
    steps = F.cosine_similarity(way[:-1], way[1:])
    torch.testing.assert_close(steps, steps[0].expand(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(between(a, a, 3), a.expand(3, -1))
    torch.testing.assert_close(between(torch.zeros(4), torch.zeros(4), 2), torch.zeros(2, 4))


@BOTH
def test_the_pictures_of_the_style_are_learned(config: Any) -> None:
    """Red pictures: the content domain is not looked at."""
    red = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    red[:, 0] = torch.randint(150, 250, (4, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    config = replace(
        config, diffaugment=(), optimizer=replace(config.optimizer, generator_lr=5e-3, discriminator_lr=2e-3)
    )
    watchdog = WatchdogConfig(enabled=False)
    t = trainer(config, steps=80, watchdog=watchdog, decay_from=1.0)
    t.run(lambda step: Batch(pictures(1)[:4], red), ignore, ignore, ignore)
    made = t.sample(pictures(1)).float().mean((0, 2, 3))
    assert made[0] > 120
    assert made[1:].max() < 80


@BOTH
def test_a_sample_is_always_of_the_same_noise(config: Any) -> None:
    t = trainer(config)
    assert torch.equal(t.sample(pictures(1)), t.sample(pictures(2)))
    assert t.sample(pictures(1)).shape == (16, 3, 32, 32)
    assert t.sample(pictures(1)).dtype == torch.uint8


@BOTH
def test_a_model_generates_and_does_not_paint(tmp_path: Any, config: Any) -> None:
    t = trainer(config, steps=1)
    t.run(batches(TRAINING), ignore, ignore, ignore)
    artifact.save(tmp_path, config, t.generator_ema, {})
    model = artifact.load(tmp_path)
    assert model.config == config
    made = model.generate(TRAINING.seed, range(16))
    assert torch.equal(made, t.sample(pictures(1)))
    with pytest.raises(ValueError, match="gan makes pictures from noise and paints none: use `atelier generate`"):
        model.painter(Controls())
    with pytest.raises(ValueError, match="use `atelier generate`"):
        model.method.painter(config, model.generator, Controls())


def test_a_method_that_paints_does_not_generate() -> None:
    config = CpganConfig(filters=4, width=8, blocks=1)
    with pytest.raises(ValueError, match="cpgan paints pictures and makes none from noise: use `atelier stylize`"):
        Cpgan.generate(config, Cpgan.build_generator(config, None), torch.zeros(1, 1))


def test_what_is_known_without_torch_is_what_the_methods_say() -> None:
    assert {name for name, method in METHODS.items() if method.Config.generates} == {
        "dcgan",
        "gan",
        "infogan",
        "stylegan",
        "vae",
    }
    assert all(method.Config.controls == () for method in METHODS.values() if method.Config.generates)


def test_the_watchdog_sees_one_picture_over_and_over_and_no_inversion() -> None:
    negatives = 255 - F.interpolate(pictures(1)[:8, :, :4, :4], scale_factor=8)
    t = trainer(DCGAN)
    for step in range(10):
        t.watchdog.samples(step, 255 - negatives, negatives)
    said = "mode collapse: what is generated, beside pictures of the style, differs"
    t = trainer(DCGAN, watchdog=WatchdogConfig(diverse_from=0, sample_patience=1))
    with pytest.raises(TrainingStopped, match=said):
        t.watchdog.samples(1, negatives, negatives[:1].expand(8, -1, -1, -1))


def test_a_training_that_collapses_is_stopped() -> None:
    """A generator whose last layer says nothing makes one picture whatever the noise."""
    watchdog = WatchdogConfig(diverse_from=0, sample_patience=2)
    t = trainer(replace(GAN, optimizer=replace(GAN.optimizer, generator_lr=1e-12)), sample_every=1, watchdog=watchdog)
    for generator in (t.method.modules["generator"], t.generator_ema):
        torch.nn.init.zeros_(generator.body[-2].weight)  # type: ignore[union-attr, index]
    smooth = F.interpolate(pictures(2)[:4, :, :4, :4], scale_factor=8)
    with pytest.raises(TrainingStopped, match="mode collapse"):
        t.run(lambda step: Batch(smooth, smooth), ignore, ignore, ignore)


def test_a_dense_generator_keeps_the_contracts_of_the_engine() -> None:
    """What `dcgan` shares with it is tested with every method; its own layers are here."""
    whole, parts, first = trainer(GAN), trainer(GAN, accumulate=2), trainer(GAN, steps=6)
    whole.run(batches(TRAINING), ignore, ignore, ignore)
    parts.run(batches(TRAINING), ignore, ignore, ignore)
    for key, value in whole.state_dict().items():
        if not key.startswith("optimizer"):
            torch.testing.assert_close(parts.state_dict()[key], value, atol=1e-3, rtol=1e-3, msg=key)
    states: list[dict[str, torch.Tensor]] = []

    def keep(step: int) -> None:
        states.append({key: value.clone() for key, value in first.state_dict().items()})

    first.run(batches(TRAINING), ignore, keep, ignore)
    resumed = trainer(GAN)
    resumed.load_state_dict(states[0])
    assert resumed.step == 3
    resumed.run(batches(TRAINING), ignore, ignore, ignore)
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key
