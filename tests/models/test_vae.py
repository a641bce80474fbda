"""Variational autoencoders: the bound, what is learned, and what a model gives back."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from atelier.models import artifact
from atelier.models.configs.loop import WatchdogConfig
from atelier.models.losses.perceptual import unit_distance
from atelier.models.methods.base import Batch
from atelier.models.methods.gan import Dcgan
from atelier.models.networks.vae import Autoencoder, divergence, drawn
from tests.models.tiny import DCGAN, VAE, TinyEncoder, ignore, pictures, trainer

pytestmark = pytest.mark.long

PLAIN = replace(VAE, adversarial_weight=0.0, perceptual_weight=0.0)


def test_the_divergence_is_that_of_the_distributions() -> None:
    mean, log_variance = torch.randn(2, 5, 7).unbind(0)
    wanted = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(divergence(mean, log_variance), wanted)
    noise = torch.randn(4000, 1)
    found = drawn(torch.full_like(noise, 3.0), torch.full_like(noise, 0.5).log(), noise)
    assert found.mean().item() == pytest.approx(3, abs=0.05)
    assert found.var().item() == pytest.approx(0.5, abs=0.05)


def test_the_distance_of_directions_is_the_formula_in_loops() -> None:
    a, b = torch.randn(2, 2, 3, 4, 5).unbind(0)
    total = 0.0
    for picture in range(2):
        for y in range(4):
            for x in range(5):
                one, other = a[picture, :, y, x], b[picture, :, y, x]
                total += float((one / one.norm() - other / other.norm()).square().sum())
    features, target = {"a": a, "b": a}, {"a": b, "b": a}
    assert unit_distance(features, target, ("a",)).item() == pytest.approx(total / 40, rel=1e-5)
    assert unit_distance(features, target, ("a", "b")).item() == pytest.approx(total / 80, rel=1e-5)


def test_pictures_are_learned_and_given_back(tmp_path: Path) -> None:
    """Four plain colours: what is reconstructed is near to each, by the model folder too."""
    colours = torch.tensor([[200, 30, 30], [30, 200, 30], [30, 30, 200], [120, 120, 120]], dtype=torch.uint8)
    real = colours[:, :, None, None].expand(4, 3, 32, 32).contiguous()
    config = replace(PLAIN, beta=1e-4, filters=8, optimizer=replace(PLAIN.optimizer, generator_lr=3e-3))
    t = trainer(config, steps=150, decay_from=0.5, watchdog=WatchdogConfig(enabled=False))
    assert set(t.optimizers) == {"generator"}
    t.run(lambda step: Batch(real, real), ignore, ignore, ignore)
    artifact.save(tmp_path, config, t.generator_ema, {})
    model = artifact.load(tmp_path)
    found = model.reconstruct(real)
    assert found.shape == real.shape
    assert found.dtype == torch.uint8
    assert (found.float() - real.float()).abs().mean() < 10
    assert torch.equal(t.sample_rows(real)["reconstructed"], found)
    assert model.generate(0, range(3)).shape == (3, 3, 32, 32)


def test_every_term_moves_the_networks() -> None:
    silent = replace(VAE, pixel_weight=0.0, perceptual_weight=0.0, beta=0.0, adversarial_weight=1e-9)
    changes = ({}, {"pixel_weight": 1.0}, {"perceptual_weight": 1.0}, {"beta": 1.0}, {"adversarial_weight": 1.0})
    ends = []
    for change in changes:
        t = trainer(replace(silent, optimizer=replace(VAE.optimizer, beta1=0.0), **change), steps=2)
        t.run(lambda step: Batch(pictures(1)[:4], pictures(2)[:4]), ignore, ignore, ignore)
        ends.append(torch.cat([p.detach().flatten() for p in t.method.modules["generator"].parameters()]))
    for index, end in enumerate(ends[1:]):
        assert not torch.equal(end, ends[0]), changes[index + 1]


def test_a_plain_one_asks_no_encoder() -> None:
    class Silent(TinyEncoder):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            raise AssertionError("it is not needed")

    t = trainer(PLAIN, steps=1)
    t.method.encoder = Silent()  # type: ignore[attr-defined]
    t.run(lambda step: Batch(pictures(1)[:4], pictures(2)[:4]), ignore, ignore, ignore)


def test_a_method_without_an_encoder_reconstructs_nothing() -> None:
    with pytest.raises(ValueError, match="dcgan has no encoder, so that it reconstructs no pictures: train one by vae"):
        Dcgan.reconstruct(DCGAN, Dcgan.build_generator(DCGAN, None), pictures(1))


def test_variances_have_bounds() -> None:
    network = Autoencoder(4, 4, 16)
    torch.nn.init.constant_(network.encoder.score.bias, 1e9)  # type: ignore[arg-type]
    assert network.encode(torch.zeros(1, 3, 16, 16))[1].exp().isfinite().all()
