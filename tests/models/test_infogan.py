"""Codes: what they are, what is learned of them, and how disentanglement is measured."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from atelier.models.codes import number, traversed
from atelier.models.configs.gan import InfoganConfig
from atelier.models.configs.loop import WatchdogConfig
from atelier.models.methods.base import Batch
from atelier.models.methods.infogan import Infogan
from atelier.models.metrics.disentanglement import assignment_accuracy, information_gap, rank_correlation, slant
from atelier.models.networks.infogan import RecognisingDiscriminator, code_values
from atelier.models.pixels import to_float
from atelier.models.random_draws import noise, traversals
from tests.models.tiny import INFOGAN, ignore, pictures, trainer

pytestmark = pytest.mark.long

CODES = (3, 0, 0)


def test_codes_are_drawn_evenly_and_a_value_gives_itself() -> None:
    values = code_values(noise(0, range(3000), 5), CODES)
    assert torch.bincount(values[:, 0].long()).tolist() == pytest.approx([1000] * 3, abs=100)
    assert values[:, 1].mean().abs() < 0.1
    assert values[:, 1].std().item() == pytest.approx(4 / math.sqrt(12), abs=0.05)  # uniform in ±2
    for code, wanted in ((0, range(3)), (1, (-2, -1.5, 0, 0.7, 2))):
        numbers = torch.zeros(len(wanted), 5)
        numbers[:, code] = torch.tensor([number(CODES[code], value) for value in wanted])
        found = code_values(numbers, CODES)[:, code]
        torch.testing.assert_close(found, torch.tensor([*map(float, wanted)]), atol=1e-5, rtol=0)


def test_a_traversal_changes_one_code() -> None:
    (base,) = noise(0, (7,), 5)
    rows = traversals(base, CODES, 5)
    assert [len(row) for row in rows] == [3, 5, 5]
    for code, row in enumerate(rows):
        torch.testing.assert_close(
            code_values(row, CODES)[:, code], torch.tensor(traversed(CODES[code], 5)), atol=1e-5, rtol=0
        )
        others = [place for place in range(5) if place != code]
        assert torch.equal(row[:, others], base[others].expand(len(row), -1))


def test_what_is_told_of_codes_is_their_likelihood() -> None:
    told, values = torch.randn(4, 3 + 2 + 2), code_values(noise(0, range(4), 5), CODES)
    found = RecognisingDiscriminator(CODES, 4, 16).log_likelihoods(told, values)
    for row, (kind, *numbers) in enumerate(values.tolist()):
        shares = told[row, :3].softmax(0)
        assert found[row, 0].item() == pytest.approx(shares[int(kind)].log().item(), abs=1e-5)
        for code, value in enumerate(numbers):
            mean, log_std = told[row, 3 + 2 * code : 5 + 2 * code].tolist()
            wanted = -0.5 * ((value - mean) / math.exp(log_std)) ** 2 - log_std - 0.5 * math.log(2 * math.pi)
            assert found[row, 1 + code].item() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("clustered", [0, 8])
def test_codes_become_what_pictures_differ_in(clustered: int) -> None:
    """What is known of the category from a picture comes near to all that there is; of a real one, by choice, too."""
    shades = torch.tensor([20, 128, 235], dtype=torch.uint8)[torch.arange(8) % 3]
    real = shades[:, None, None, None].expand(8, 3, 32, 32).contiguous()
    config = replace(INFOGAN, diffaugment=(), continuous=0, clustered_pictures=clustered)
    config = replace(config, optimizer=replace(config.optimizer, generator_lr=2e-3, discriminator_lr=2e-3))
    seen: list[dict[str, float]] = []
    t = trainer(config, steps=120, batch_size=8, decay_from=1.0, watchdog=WatchdogConfig(enabled=False))
    t.run(lambda step: Batch(real, real), lambda step, losses: seen.append(losses), ignore, ignore)
    assert seen[0]["information_0"] < 0.2
    assert seen[-1]["information_0"] > 0.8 * math.log(3)
    assert seen[-1]["categories"] == pytest.approx(math.log(3) - seen[-1]["information_0"], abs=1e-4)
    (row,) = t.sample_rows(pictures(1)[:5]).values()
    assert row.shape == (3, 3, 32, 32)
    assert len({picture.numpy().tobytes() for picture in row}) == 3
    assert isinstance(t.method, Infogan)
    if t.method.clusters is not None:
        shown = to_float(real, real.device)
        found = t.method.discriminator.both(shown)[1].argmax(1)
        assert found.tolist() == t.method.clusters(shown).tolist()
        assert len(set(found.tolist())) == 3


def test_information_moves_the_generator_and_both_turns_have_it() -> None:
    ends: list[Tensor] = []
    for weights in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        t = trainer(replace(INFOGAN, category_weight=weights[0], continuous_weight=weights[1]), steps=1)
        t.run(lambda step: Batch(pictures(1)[:4], pictures(2)[:4]), ignore, ignore, ignore)
        ends.append(torch.cat([p.flatten() for p in t.method.modules["generator"].parameters()]).detach())
        assert isinstance(t.method, Infogan)
        assert t.method.weights["discriminator_categories"] == weights[0]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(ends, 2))


def test_codes_that_there_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="2 to 1000 categories"):
        InfoganConfig(categories=(1,))
    with pytest.raises(ValueError, match="9 codes among 8 numbers"):
        InfoganConfig(noise=8, categories=(10,), continuous=8)
    with pytest.raises(ValueError, match="0 codes"):
        InfoganConfig(categories=(), continuous=0)
    assert InfoganConfig(categories=(4, 2), continuous=1).codes == (4, 2, 0)


def test_the_best_assignment_is_that_of_all_permutations() -> None:
    random = np.random.default_rng(0)
    codes, classes = random.integers(0, 5, (2, 200))
    table = np.zeros((5, 5), int)
    np.add.at(table, (codes, classes), 1)
    wanted = max(sum(table[code, of] for code, of in enumerate(order)) for order in itertools.permutations(range(5)))
    accuracy, chosen = assignment_accuracy(codes, classes, 5)
    assert accuracy == wanted / 200
    assert sorted(chosen) == [*range(5)]
    assert sum(table[code, of] for code, of in enumerate(chosen)) == wanted


def test_rank_correlation_has_ties_and_no_scale() -> None:
    x = np.array([1.0, 2.0, 2.0, 5.0])
    assert rank_correlation(x, np.exp(x)) == pytest.approx(1)
    assert rank_correlation(x, -x) == pytest.approx(-1)
    assert rank_correlation(x, np.ones(4)) == 0
    assert rank_correlation(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])) == pytest.approx(0.8)


def test_slant_is_the_shear_of_a_stroke() -> None:
    upright = np.zeros((1, 21, 21))
    upright[0, 3:18, 9:12] = 1
    leaning = np.zeros_like(upright)
    for row in range(21):
        leaning[0, row] = np.roll(upright[0, row], 10 - row)  # a pixel to the right for each row up
    assert slant(upright)[0] == pytest.approx(0, abs=1e-9)
    assert slant(leaning)[0] == pytest.approx(1)
    assert slant(np.zeros((1, 8, 8)))[0] == 0


def test_the_information_gap_is_of_the_two_codes_that_know_most() -> None:
    random = np.random.default_rng(0)
    factors = random.integers(0, 4, (4000, 2))
    free = random.integers(0, 4, 4000)
    apart = np.stack([factors[:, 0], factors[:, 1], free], 1)
    assert information_gap(apart, factors) == pytest.approx([1, 1], abs=0.02)
    both = np.stack([factors[:, 0], factors[:, 0], free], 1)
    assert information_gap(both, factors) == pytest.approx([0, 0], abs=0.02)
