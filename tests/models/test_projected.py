"""The discriminator that looks through an encoder: its units, its scores, and what it does to a training."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from atelier.models.methods.base import Batch
from atelier.models.methods.window import SHIFT, window
from atelier.models.networks.projected import Projected
from atelier.models.networks.spectral import advance
from atelier.models.pixels import to_float
from tests.models.tiny import CUT, CYCLEGAN, SIZE, TRAINING, TinyEncoder, batches, ignore, pictures, trainer

pytestmark = pytest.mark.long


def projected(encoder: TinyEncoder) -> Projected:
    torch.manual_seed(0)
    network = Projected(encoder, 4)
    advance(network)
    return network


def test_every_view_has_a_score_at_every_place() -> None:
    network = projected(TinyEncoder())
    x = (torch.rand(2, 3, 64, 48) * 2 - 1).requires_grad_()
    scores = network(x)
    assert scores.shape[:2] == (2, 3)  # the picture, "shallow" and "deep"
    (own,) = torch.autograd.grad(scores[0].sum(), x)
    assert own[0].any()
    assert not own[1].any()
    for view in range(3):
        (gradient,) = torch.autograd.grad(network(x)[:, view].sum(), x)
        assert gradient.any(), view


def test_pictures_that_are_too_small() -> None:
    network = projected(TinyEncoder())
    assert network(torch.zeros(1, 3, 16, 16)).shape == (1, 3, 1, 1)
    with pytest.raises(ValueError, match=r"sees 15×64 positions and needs 16 a side: train with larger pictures"):
        network(torch.zeros(1, 3, 15, 64))


def test_the_encoder_is_no_part_of_it() -> None:
    encoder = TinyEncoder()
    network = projected(encoder)
    assert not any("shallow.weight" in key and "judge" not in key for key in network.state_dict())
    assert {id(p) for p in encoder.parameters()}.isdisjoint(id(p) for p in network.parameters())
    assert sorted(key for key in network.state_dict() if key.startswith("energy")) == ["energy.deep", "energy.shallow"]


def test_units_are_of_the_whole_style_domain() -> None:
    method = trainer(replace(CYCLEGAN, discriminator="projected")).method
    method.prepare(batches(TRAINING), TRAINING.batch_size)  # 64 pictures: each of the sixteen four times
    features = TinyEncoder()(pictures(2).float() / 255)
    for domain in ("content", "style"):
        for layer, energy in method.modules[f"discriminator_{domain}"].get_submodule("energy").named_buffers():
            torch.testing.assert_close(energy, features[layer].square().mean((0, 2, 3)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("config", [CYCLEGAN, CUT], ids=["cyclegan", "cut"])
def test_it_sees_the_same_moving_part_of_real_and_painted_pictures(config: Any) -> None:
    size, seen = 80, []
    large = Batch(*(F.interpolate(pictures(seed)[:2], size=(size, size)) for seed in (1, 2)))
    t = trainer(replace(config, discriminator="projected"), steps=3, batch_size=2, sample_every=100)
    for name, module in t.method.modules.items():
        if "discriminator" in name:
            module.register_forward_pre_hook(lambda _, inputs, name=name: seen.append((t.step, name, inputs[0])))
    t.run(lambda step: large, ignore, ignore, ignore)
    style = to_float(large.style, torch.device("cpu"))
    for step in range(3):
        shown = [x for at, name, x in seen if at == step and not name.endswith("content")]
        assert {tuple(x.shape[2:]) for x in shown} == {(size - SHIFT, size - SHIFT)}
        assert torch.equal(shown[-1][:2], style[window(step, size, size)])  # the real ones, in the discriminator's turn
    assert len({window(step, size, size)[2].start for step in range(3)}) > 1


def test_a_training_against_it() -> None:
    seen: list[dict[str, float]] = []
    config = replace(CYCLEGAN, discriminator="projected", adversarial="hinge", r1_weight=1.0, r1_every=2)
    t = trainer(config, steps=30, log_every=5)
    t.run(batches(TRAINING), lambda step, metrics: seen.append(metrics), ignore, ignore)
    assert all(math.isfinite(value) for metrics in seen for value in metrics.values())
    assert seen[-1]["discriminator_style"] < seen[0]["discriminator_style"]
    painted = t.sample(pictures(1)[:2])
    assert painted.shape == (2, 3, SIZE, SIZE)
