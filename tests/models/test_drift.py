import time

import numpy as np
import pytest

from atelier.models.metrics.drift import distances, drift, gaussian_kernel, half_whitened
from atelier.models.metrics.mmd import mmd


def features(seed: int, count: int, foreign: int = 0) -> np.ndarray:
    """Rows of 40 correlated columns; the last `foreign` are of another kind."""
    generator = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(40, 40)) * np.linspace(2, 0.1, 40)[:, None]
    rows = generator.normal(size=(count, 40)) @ mixing
    rows[count - foreign :] += 3 * mixing.std(0)
    return rows


def test_the_distance_is_the_unbiased_mmd_written_as_loops() -> None:
    x, y = features(0, 5), features(1, 7)
    k = gaussian_kernel(half_whitened(np.concatenate([x, y])))
    within = [np.mean([k[i, j] for i in side for j in side if i != j]) for side in (range(5), range(5, 12))]
    between = np.mean([k[i, j] for i in range(5) for j in range(5, 12)])
    assert drift(x, y, 99, 0).distance == pytest.approx(sum(within) - 2 * between)


def test_divisions_of_the_same_pictures_have_the_mmd_of_any_two_sets() -> None:
    kernel = gaussian_kernel(features(0, 12))
    here = np.random.default_rng(0).permuted(np.tile([1.0] * 5 + [0.0] * 7, (9, 1)), axis=1)
    assert distances(kernel, here) == pytest.approx(mmd(kernel, kernel, kernel, here, 1 - here), abs=1e-12)


def test_the_kernel_is_scaled_by_the_median_squared_distance() -> None:
    points = np.array([[0.0], [1.0], [3.0]])  # squared distances 1, 4, 9
    assert gaussian_kernel(points)[0] == pytest.approx(np.exp([0, -1 / 4, -9 / 4]))


def test_equal_sets_are_never_apart_and_disjoint_ones_always() -> None:
    x = features(0, 30)
    assert drift(x, x, 199, 0).p > 0.5
    assert drift(np.ones((20, 3)), np.ones((30, 3)), 199, 0).p == 1
    assert drift(x, x + 100, 199, 0).p == 1 / 200
    assert drift(x, features(1, 30), 199, 5) == drift(x, features(1, 30), 199, 5)


def test_fewer_than_two_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="two pictures on each side, there are 1 and 5"):
        drift(features(0, 1), features(1, 5), 9, 0)


@pytest.mark.parametrize(("x", "y"), [(60, 40), (120, 16)])
def test_p_is_below_the_level_on_no_more_honest_nights_than_the_level_says(x: int, y: int) -> None:
    found = [drift(features(2 * i, x), features(2 * i + 1, y), 99, i).p for i in range(100)]
    assert sum(p <= 0.05 for p in found) <= 10  # 5 are expected, 11 in 1 % of such tests
    assert 0.4 < np.mean(found) < 0.6


def test_half_of_foreign_pictures_is_seen() -> None:
    found = [drift(features(2 * i, 100), features(2 * i + 1, 60, foreign=30), 199, i).p for i in range(40)]
    assert sum(p <= 0.005 for p in found) >= 38  # 95 %


def test_five_hundred_against_five_hundred_take_seconds() -> None:
    begun = time.perf_counter()
    drift(features(0, 500), features(1, 500), 1000, 0)
    assert time.perf_counter() - begun < 5
