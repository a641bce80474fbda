"""CycleGAN's parts, each against what its paper says, and every remedy in a training that needs it."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models.configs.base import GeneratorKind
from atelier.models.configs.translation import CycleganConfig
from atelier.models.controls import Controls
from atelier.models.methods.base import Batch
from atelier.models.networks.dropout import ChannelDropout, draw_from
from atelier.models.networks.image_pool import ImagePool
from atelier.models.networks.patchgan import PatchGan
from atelier.models.networks.resnet import ResnetGenerator
from atelier.models.networks.spectral import advance
from atelier.models.random_draws import uniform
from tests.models.tiny import CYCLEGAN, TRAINING, batches, ignore, pictures, trainer

pytestmark = pytest.mark.long


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_networks_are_the_papers() -> None:
    """11.378 M weights a generator and 2.765 M a discriminator, but for biases that a norm takes out again."""
    generator, discriminator = ResnetGenerator(64, 9, 0.0), PatchGan(64, False)
    before_norms = 64 + 128 + 256 + 18 * 256 + 128 + 64
    assert parameters(generator) == 11_378_179 - before_norms
    assert parameters(discriminator) == 2_764_737 - (128 + 256 + 512)
    assert generator(torch.zeros(1, 3, 64, 48)).shape == (1, 3, 64, 48)
    assert discriminator(torch.zeros(2, 3, 256, 256)).shape == (2, 1, 30, 30)


def test_a_score_sees_70_pixels() -> None:
    discriminator = PatchGan(4, True)  # without InstanceNorm, which sees everything
    x = torch.zeros(1, 3, 256, 256, requires_grad=True)
    (gradient,) = torch.autograd.grad(discriminator(x)[0, 0, 15, 15], x)
    rows, columns = (gradient[0].abs().sum((0, dim)).nonzero() for dim in (2, 1))
    for seen in (rows, columns):
        assert seen.max() - seen.min() + 1 == 70


def test_the_pool_shows_half_of_the_time_what_was() -> None:
    pool = ImagePool(4)
    new = [torch.full((2, 3, 2, 2), float(step)) + torch.tensor([0.0, 0.5])[:, None, None, None] for step in range(400)]
    older = []
    for step, pair in enumerate(new):
        before = pool.pictures.clone()
        shown = pool.replace(pair, uniform(0, step, 0, 2, 2, 0), step)
        if step < 2:
            assert torch.equal(shown, pair), "until it is full, all are kept and shown"
        for picture, own in zip(shown, pair, strict=True):
            older.append(not torch.equal(picture, own))
            assert torch.equal(picture, own) or any(torch.equal(picture, x) for x in (*before, *pair))
    assert 0.4 < sum(older) / len(older) < 0.6
    assert pool.pictures.min() > 300, "what was shown again has left"
    assert ImagePool(0).replace(new[0], torch.zeros(2, 2), 0) is new[0]


def test_dropout_is_a_function_of_the_place() -> None:
    network = nn.Sequential(ChannelDropout(0.5), ChannelDropout(0.5))
    x = torch.ones(4, 1000, 1, 1)
    assert torch.equal(network(x), x), "nothing is left out while stylizing"
    draw_from(network, lambda numbers, salt: uniform(0, 7, 0, 4, numbers, salt), 0)
    y = network(x)
    assert set(y.unique().tolist()) == {0.0, 4.0}
    assert 0.7 < (y == 0).float().mean() < 0.8
    draw_from(network, lambda numbers, salt: uniform(0, 7, 2, 2, numbers, salt), 0)
    assert torch.equal(network(x[2:]), y[2:])
    assert torch.equal(network(x), torch.cat([y[2:], y[2:]])), "the same for a second picture of a place"


def test_spectral_norms_advance_once_a_turn() -> None:
    torch.manual_seed(0)
    discriminator, x = PatchGan(4, True), torch.randn(1, 3, 64, 64)
    advance(discriminator)
    first, again = discriminator(x), discriminator(x)
    assert torch.equal(first, again)
    for _ in range(500):
        advance(discriminator)
    for layer in discriminator.body:
        if isinstance(layer, nn.Conv2d):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)


def test_the_step_is_the_papers_objective() -> None:
    """Equation 3 and the identity loss, one picture at a time and in one backward pass, have the same gradients."""
    t = trainer(CYCLEGAN, batch_size=2)
    batch = batches(replace(TRAINING, batch_size=2))(0)
    (part,) = t._parts(batch)
    generator, d = t.method.modules["generator"], t.method
    forth, back = generator.forth, generator.back
    ours: dict[str, torch.Tensor] = {}
    t.method.begin("generator", [part])
    for losses in t.method.losses("generator", part):
        ours |= losses
        torch.autograd.backward(torch.stack([t.method.weights[name] * value for name, value in losses.items()]).sum())
    found = [p.grad.clone() for p in generator.parameters()]
    generator.zero_grad()
    expected: dict[str, torch.Tensor] = dict.fromkeys(ours, torch.zeros(()))
    for a, b in zip(part.content.split(1), part.style.split(1), strict=True):
        fake_b, fake_a = forth(a), back(b)
        for name, value in {
            "adversarial_style": (d.modules["discriminator_style"](fake_b) - 1).square().mean(),
            "adversarial_content": (d.modules["discriminator_content"](fake_a) - 1).square().mean(),
            "cycle_content": (back(fake_b) - a).abs().mean(),
            "cycle_style": (forth(fake_a) - b).abs().mean(),
            "identity_style": (forth(b) - b).abs().mean(),
            "identity_content": (back(a) - a).abs().mean(),
        }.items():
            expected[name] = expected[name] + value / 2
    for name, value in expected.items():
        assert ours[name].item() == pytest.approx(value.item(), rel=1e-5)
    weights = {"adversarial": 1, "cycle": 10, "identity": 5}
    sum(weights[name.split("_")[0]] * value for name, value in expected.items()).backward()  # type: ignore[union-attr]
    for one, p in zip(found, generator.parameters(), strict=True):
        torch.testing.assert_close(one, p.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["least_squares", "hinge", "non_saturating", "wasserstein"])
def test_every_adversarial_loss_trains(kind: Any) -> None:
    seen: list[dict[str, float]] = []
    # the discriminator learns, the generator waits
    optimizer = replace(CYCLEGAN.optimizer, generator_lr=1e-7, discriminator_lr=2e-3)
    config = replace(CYCLEGAN, adversarial=kind, pool_size=0, optimizer=optimizer)
    t = trainer(config, steps=12, log_every=1)
    t.run(batches(TRAINING), lambda step, metrics: seen.append(metrics), ignore, ignore)
    assert all(math.isfinite(value) for metrics in seen for value in metrics.values())
    assert ("gradient_penalty_style" in seen[0]) == (kind == "wasserstein")
    assert seen[-1]["discriminator_style"] < seen[0]["discriminator_style"]


@pytest.mark.parametrize("kind", ["residual", "antialiased"])
def test_the_cycle_is_learned(kind: GeneratorKind) -> None:
    """Smooth pictures come back; random ones could not."""
    seen: list[float] = []
    quick = replace(CYCLEGAN.optimizer, generator_lr=5e-3)
    t = trainer(replace(CYCLEGAN, generator=kind, optimizer=quick), steps=40, log_every=5)
    smooth = Batch(*(F.interpolate(pictures(seed)[:4, :, :4, :4], scale_factor=8) for seed in (1, 2)))
    t.run(lambda step: smooth, lambda step, metrics: seen.append(metrics["cycle_content"]), ignore, ignore)
    assert seen[-1] < 0.8 * seen[0]


def test_a_skip_begins_with_the_picture() -> None:
    method = trainer(replace(CYCLEGAN, generator="skip")).method
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(method.modules["generator"](x), x)
    with pytest.raises(ValueError, match="no dropout"):
        replace(CYCLEGAN, generator="skip", dropout=0.5)


def test_penalties_come_when_they_are_asked_for() -> None:
    seen: list[set[str]] = []
    config = replace(CYCLEGAN, r1_weight=2.0, r1_every=3)
    t = trainer(config, log_every=1)
    t.run(
        batches(TRAINING), lambda step, metrics: seen.append({n for n in metrics if n.startswith("r1")}), ignore, ignore
    )
    both = {"r1_content", "r1_style"}
    assert seen == [both, set(), set(), both, set(), set()]
    assert t.method.weights["r1_style"] == 2.0 / 2 * 3, "γ / 2, as often as steps are left out"


def test_r1_keeps_the_discriminator_flat() -> None:
    slopes = []
    for weight in (0.0, 100.0):
        t = trainer(replace(CYCLEGAN, r1_weight=weight, r1_every=1, spectral_norm=True), steps=30)
        t.run(batches(TRAINING), ignore, ignore, ignore)
        x = (pictures(2)[:4].float() / 127.5 - 1).requires_grad_()
        (gradient,) = torch.autograd.grad(t.method.modules["discriminator_style"](x).mean((1, 2, 3)).sum(), x)
        slopes.append(gradient.square().sum((1, 2, 3)).mean().item())
    assert slopes[1] < 0.5 * slopes[0]


def test_clipping_bounds_the_step_and_weight_decay_shrinks() -> None:
    norms = []
    for clip in (0.0, 0.01):
        optimizer = replace(CYCLEGAN.optimizer, clip_norm=clip, weight_decay=0.0)
        t = trainer(replace(CYCLEGAN, optimizer=optimizer), steps=1)
        t.run(batches(TRAINING), lambda step, metrics: norms.append(metrics["generator_gradient_norm"]), ignore, ignore)
        moments = [s["exp_avg"] for s in t.optimizers["generator"].state.values()]
        taken = math.sqrt(sum(m.square().sum().item() for m in moments)) / (1 - CYCLEGAN.optimizer.beta1)
        assert taken == pytest.approx(min(norms[-1], clip or math.inf), rel=1e-3)
    assert norms[0] == norms[1] > 0.01, "what is told is the norm before"
    sizes = []
    for decay in (0.0, 10.0):
        t = trainer(replace(CYCLEGAN, optimizer=replace(CYCLEGAN.optimizer, weight_decay=decay)))
        t.run(batches(TRAINING), ignore, ignore, ignore)
        sizes.append(t.method.modules["generator"].forth.encode[1].weight.norm().item())  # type: ignore[union-attr, index]
    assert sizes[1] < sizes[0]


def test_the_pool_travels_with_the_checkpoint(tmp_path: Any) -> None:
    """Its size is known with the first picture only."""
    t = trainer(CYCLEGAN, steps=2)
    t.run(batches(TRAINING), ignore, ignore, ignore)
    fresh = trainer(CYCLEGAN)
    fresh.load_state_dict(t.state_dict())
    pool = fresh.method.modules["pool_style"]
    assert torch.equal(pool.pictures, t.method.modules["pool_style"].pictures)  # type: ignore[arg-type]
    assert len(pool.pictures) == CYCLEGAN.pool_size  # type: ignore[arg-type]


def test_a_model_paints_forth_and_knows_its_config(tmp_path: Any) -> None:
    config: CycleganConfig = replace(CYCLEGAN, diffaugment=("color",))
    t = trainer(config, steps=1)
    artifact.save(tmp_path, config, t.generator_ema, {})
    model = artifact.load(tmp_path)
    assert model.config == config
    picture = pictures(1)[:1, :, :30, :21]
    painted = model.painter()(picture)
    assert painted.shape == picture.shape
    assert torch.equal(model.painter(Controls(0.0))(picture), picture)
    for weaker, stronger in pairwise((0.25, 0.5, 1.0)):
        moved = [
            (model.painter(Controls(s))(picture).float() - picture.float()).abs().mean() for s in (weaker, stronger)
        ]
        assert moved[0] < moved[1]
