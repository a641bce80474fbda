"""Precision, recall, density and coverage of sets whose answers are known."""

import numpy as np
import pytest

from atelier.models.metrics import manifold
from atelier.models.metrics.manifold import precision_recall


def points(seed: int, count: int, spread: float = 1.0) -> manifold.Array:
    return spread * np.random.default_rng(seed).normal(size=(count, 8))


def test_the_same_distribution() -> None:
    found = precision_recall(points(0, 600), points(1, 600))
    assert found.precision > 0.7
    assert found.recall > 0.7
    assert found.density == pytest.approx(1, abs=0.1)
    assert found.coverage > 0.9  # Naeem et al. 2020, lemma 2: 1 − 2⁻⁵


def test_one_kind_alone_is_precise_and_recalls_little() -> None:
    narrow = precision_recall(points(0, 600, 0.1), points(1, 600))
    assert narrow.precision > 0.95
    assert narrow.recall < 0.05
    assert narrow.density > 2
    wide = precision_recall(points(1, 600), points(0, 600, 0.1))
    assert wide.precision < 0.05
    assert wide.recall > 0.95


def test_sets_apart() -> None:
    assert precision_recall(points(0, 50), points(1, 50) + 100) == (0, 0, 0, 0)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = precision_recall(points(0, 100), points(1, 70))
    monkeypatch.setattr(manifold, "ROWS", 7)
    assert precision_recall(points(0, 100), points(1, 70)) == whole


def test_too_few() -> None:
    with pytest.raises(ValueError, match="precision and recall need 6 pictures of each set, not 5 and 70"):
        precision_recall(points(0, 5), points(1, 70))
