"""Contrastive translation against its paper's formulas, computed in another way."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models.configs.architecture import Architecture
from atelier.models.configs.base import GeneratorKind
from atelier.models.configs.translation import CutConfig, FastcutConfig
from atelier.models.controls import Controls
from atelier.models.methods.base import Batch
from atelier.models.methods.cut import Projector, distinct, flipped, patch_nce
from atelier.models.networks.generator_choice import new_generator
from atelier.models.networks.light import LightGenerator
from atelier.models.networks.resnet import ResnetGenerator
from atelier.models.random_draws import uniform
from tests.models.tiny import CUT, FASTCUT, TRAINING, batches, ignore, pictures, trainer

pytestmark = pytest.mark.long


def test_the_defaults_are_the_papers() -> None:
    cut, fastcut = CutConfig(), FastcutConfig()
    for config in (cut, fastcut):
        assert (config.filters, config.blocks, config.patches, config.projection) == (64, 9, 256, 256)
        assert (config.temperature, config.adversarial) == (0.07, "least_squares")
    assert (cut.nce_weight, cut.identity_weight, cut.flip_equivariance) == (1, 1, False)
    assert (fastcut.nce_weight, fastcut.identity_weight, fastcut.flip_equivariance) == (10, 0, True)


def test_the_loss_is_a_cross_entropy_over_one_positive_and_the_others_places() -> None:
    torch.manual_seed(0)
    b, s, d, tau = 2, 7, 5, 0.07
    queries, keys = (F.normalize(torch.randn(b, s, d), dim=2) for _ in range(2))
    queries.requires_grad_()
    keys.requires_grad_()
    expected = []
    for i in range(b):
        logits = []
        for place in range(s):
            others = [keys[i, other].detach() for other in range(s) if other != place]
            logits.append(torch.stack([queries[i, place] @ key for key in (keys[i, place].detach(), *others)]) / tau)
        # the positive is the first of S
        expected.append(F.cross_entropy(torch.stack(logits), torch.zeros(s, dtype=torch.long)))
    found = patch_nce(queries, keys, tau)
    torch.testing.assert_close(found, torch.stack(expected))
    (ours,) = torch.autograd.grad(found.sum(), queries, retain_graph=True)
    (theirs,) = torch.autograd.grad(torch.stack(expected).sum(), queries)
    torch.testing.assert_close(ours, theirs)
    found.sum().backward()
    assert keys.grad is None, "only the queries learn"


def test_the_loss_knows_the_best_and_the_worst() -> None:
    own = torch.eye(6)[None]
    assert patch_nce(own, own, 0.07).item() < 1e-4
    same = torch.ones(1, 6, 1)
    assert patch_nce(same, same, 0.07).item() == pytest.approx(math.log(6))
    assert patch_nce(own, own.roll(1, 1), 0.07).item() == pytest.approx(1 / 0.07, abs=1e-3)


@pytest.mark.parametrize("positions", [1, 100, 256, 257, 300, 4096])
def test_places_differ_and_reach_everywhere(positions: int) -> None:
    seen = torch.zeros(positions)
    for step in range(200):
        places = distinct(uniform(0, step, 0, 2, 256, 0), positions)
        assert places.shape == (2, min(256, positions))
        assert places.min() >= 0
        assert places.max() < positions
        for own in places:
            assert len(own.unique()) == len(own)
            seen[own] += 1
    expected = 400 * min(256, positions) / positions
    assert seen.min() > 0
    assert (seen - expected).abs().max() < max(6 * expected**0.5, 0.3 * expected)


@pytest.mark.parametrize("kind", ["residual", "skip", "light"])
def test_the_first_half_and_the_rest_are_the_whole(kind: GeneratorKind) -> None:
    for blocks in (1, 2, 3, 9):
        torch.manual_seed(blocks)
        generator, x = new_generator(Architecture(kind, 4, 16, blocks)), torch.rand(2, 3, 32, 24) * 2 - 1
        nn.init.normal_(list(generator.parameters())[-2])  # of the skip it is zero
        features = generator.features(x)
        assert tuple(f.shape[1] for f in features) == generator.channels
        assert [tuple(f.shape[2:]) for f in features[:3]] == [(32, 24), (16, 12), (8, 6)]
        assert torch.equal(features[0], x)
        assert torch.equal(generator.finished(features), generator(x))
        assert len(features) == (4 if blocks == 1 else 5)
    # of nine blocks the fifth, as in the paper
    y = generator.encode(generator.given(x) if isinstance(generator, LightGenerator) else x)
    assert torch.equal(features[4], generator.transform[:5](y))
    assert torch.equal(features[3], generator.transform[0](y))


def test_a_projection_sees_its_own_place_only() -> None:
    projector = Projector((3, 6), 8)
    features = [torch.randn(2, 3, 4, 5), torch.randn(2, 6, 2, 2)]
    places = [torch.tensor([[0, 7], [19, 3]]), torch.tensor([[1], [2]])]
    vectors = projector(features, places)
    assert [tuple(v.shape) for v in vectors] == [(2, 2, 8), (2, 1, 8)]
    for v in vectors:
        torch.testing.assert_close(v.norm(dim=2), torch.ones(v.shape[:2]))
    first = projector.layers[0]
    torch.testing.assert_close(vectors[0][1, 0], F.normalize(first(features[0][1, :, 3, 4]), dim=0))
    torch.testing.assert_close(vectors[0][0, 1], F.normalize(first(features[0][0, :, 1, 2]), dim=0))


def test_pictures_are_mirrored_one_by_one() -> None:
    x = torch.arange(24.0).view(4, 1, 2, 3)
    y = flipped(x, torch.tensor([True, False]))
    assert torch.equal(y, torch.stack([x[0].flip(2), x[1], x[2].flip(2), x[3]]))
    assert torch.equal(flipped(y, torch.tensor([True, False])), x)


@pytest.mark.parametrize("config", [CUT, FASTCUT], ids=["cut", "fastcut"])
def test_the_step_is_the_papers_objective(config: CutConfig) -> None:
    """Equation 5, one picture at a time and with passes of its own for every feature, has the same gradients."""
    config = replace(config, patches=1024)  # every place of every feature
    t = trainer(config, batch_size=2)
    (part,) = t._parts(batches(replace(TRAINING, batch_size=2))(0))
    method = t.method
    generator, projector = method.modules["generator"], method.modules["projector"]
    assert isinstance(generator, ResnetGenerator)
    networks = nn.ModuleList([generator, projector])
    (ours,) = method.losses("generator", part)
    torch.stack([method.weights[name] * value for name, value in ours.items()]).sum().backward()
    found = [p.grad.clone() for p in networks.parameters() if p.grad is not None]
    assert len(found) == len(list(networks.parameters()))
    networks.zero_grad()

    def contrast(x: torch.Tensor, y: torch.Tensor, mirrored: bool) -> torch.Tensor:
        total = torch.zeros(())
        seen = generator.features(y)
        for layer, query, key in zip(projector.layers, seen, generator.features(x), strict=True):  # type: ignore[arg-type]
            q, k = (layer(f[0].flatten(1).t()) for f in (query.flip(3) if mirrored else query, key))
            q, k = F.normalize(q, dim=1), F.normalize(k, dim=1).detach()
            total = total + F.cross_entropy(q @ k.t() / 0.07, torch.arange(len(q)))
        return total / len(seen)

    flips = (uniform(TRAINING.seed, 0, 0, 2, 1, 100)[:, 0] < 0.5).tolist()
    terms: dict[str, torch.Tensor] = dict.fromkeys(ours, torch.zeros(()))
    for a, b, flip in zip(part.content.split(1), part.style.split(1), flips, strict=True):
        mirrored = flip and config.flip_equivariance
        fake = generator(a.flip(3) if mirrored else a)
        values = {
            "adversarial": (method.modules["discriminator"](fake) - 1).square().mean(),
            "nce": contrast(a, fake, mirrored),
        }
        if config.identity_weight:
            values["identity_nce"] = contrast(b, generator(b), False)
        for name, value in values.items():
            terms[name] = terms[name] + value / 2
    for name, value in terms.items():
        assert ours[name].item() == pytest.approx(value.item(), rel=1e-5)
    objective = terms["adversarial"] + config.nce_weight * terms["nce"]
    if config.identity_weight:
        objective = objective + config.identity_weight * terms["identity_nce"]
    objective.backward()
    for one, p in zip(found, networks.parameters(), strict=True):
        assert p.grad is not None
        torch.testing.assert_close(one, p.grad, rtol=1e-3, atol=1e-3 * p.grad.abs().max().item())


@pytest.mark.parametrize("config", [CUT, FASTCUT], ids=["cut", "fastcut"])
def test_in_few_bits_every_weight_learns(config: CutConfig) -> None:
    """Weights that autocast has cast without a gradient would have none."""
    t = trainer(config, precision="bfloat16")
    (part,) = t._parts(batches(TRAINING)(0))
    (losses,) = t.method.losses("generator", part)
    losses["nce"].backward()
    for network in ("generator", "projector"):
        for name, p in t.method.modules[network].named_parameters():
            assert p.grad is not None, name
            assert p.grad.abs().max() > 0, name


def test_content_is_kept_by_contrast() -> None:
    """Without the discriminator's voice, painted patches learn to tell where they come from."""
    seen: list[float] = []
    config = replace(CUT, adversarial_weight=0.0, optimizer=replace(CUT.optimizer, generator_lr=2e-3))
    t = trainer(config, steps=60, log_every=5)
    fixed = Batch(pictures(1)[:4], pictures(2)[:4])
    t.run(lambda step: fixed, lambda step, metrics: seen.append(metrics["nce"]), ignore, ignore)
    assert seen[-1] < 0.6 * seen[0]
    assert abs(seen[0] - math.log(CUT.patches)) < 0.5 * math.log(CUT.patches)


def test_the_identity_is_skipped_where_it_weighs_nothing() -> None:
    seen: list[set[str]] = []
    t = trainer(FASTCUT, steps=1)
    t.run(batches(TRAINING), lambda step, metrics: seen.append(set(metrics)), ignore, ignore)
    assert "identity_nce" not in seen[0]
    assert {"nce", "adversarial", "discriminator", "discriminator_accuracy"} <= seen[0]


def test_the_projector_is_in_the_checkpoint_from_the_start() -> None:
    t = trainer(CUT)
    assert any(key.startswith("projector/") for key in t.state_dict())
    before = {key: value.clone() for key, value in t.state_dict().items() if key.startswith("projector/")}
    t.run(batches(TRAINING), ignore, ignore, ignore)
    after = t.state_dict()
    assert all(not torch.equal(value, after[key]) for key, value in before.items()), "it has the generator's turn"


@pytest.mark.parametrize("config", [CUT, FASTCUT], ids=["cut", "fastcut"])
def test_a_model_paints_any_size(tmp_path: object, config: CutConfig) -> None:
    t = trainer(config, steps=1)
    artifact.save(tmp_path, config, t.generator_ema, {})  # type: ignore[arg-type]
    model = artifact.load(tmp_path)  # type: ignore[arg-type]
    assert model.config == config
    picture = pictures(1)[:1, :, :30, :21]
    painted = model.painter()(picture)
    assert painted.shape == picture.shape
    assert torch.equal(painted, t.sample(picture))
    assert torch.equal(model.painter(Controls(0.0))(picture), picture)
