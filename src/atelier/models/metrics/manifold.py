"""Precision, recall, density and coverage: whether what is generated is believable, and whether all kinds are there.

Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models", arXiv:1904.06991: each
set of features is a union of balls, whose radius at a picture is the distance to its k-th neighbour. Naeem et al. 2020,
"Reliable Fidelity and Diversity Metrics for Generative Models", arXiv:2002.09797: density and coverage, which a single
outlier moves less. Published figures are of VGG-16's or Inception's features, and of as many pictures as they say: all
four depend on both.
"""

from typing import NamedTuple

import numpy as np

from atelier.models.metrics.mmd import Array

NEIGHBOURS = 3  # of precision and recall, k in Kynkäänniemi et al.
NEIGHBOURS_OF_DENSITY = 5  # of density and coverage, k in Naeem et al.
ROWS = 1000  # of the distances that are in memory at a time


class Manifolds(NamedTuple):
    """How two sets of pictures lie to each other."""

    precision: float  # share of generated pictures inside a ball of a real one, 0…1
    recall: float  # share of real pictures inside a ball of a generated one, 0…1
    density: float  # balls of real pictures that a generated one is in, in units of k; 1 for the same distribution
    coverage: float  # share of real pictures whose ball has a generated one, 0…1


def precision_recall(made: Array, real: Array) -> Manifolds:
    """The four measures; 𝑂(n m) distances, a block of rows at a time.

    Args:
        made: features of generated pictures (n, d), n above 5. Recall grows with n.
        real: features of real ones (m, d), m above 5.
    """
    least = NEIGHBOURS_OF_DENSITY + 1
    if min(len(made), len(real)) < least:
        raise ValueError(f"precision and recall need {least} pictures of each set, not {len(made)} and {len(real)}")
    radius, wide = _radii(real, NEIGHBOURS), _radii(real, NEIGHBOURS_OF_DENSITY)
    own = _radii(made, NEIGHBOURS)
    inside = balls = 0
    nearest = np.full(len(real), np.inf)  # squared distance of each real picture to a generated one
    recalled = np.zeros(len(real), bool)
    for start in range(0, len(made), ROWS):
        rows = slice(start, start + ROWS)
        squared = _squared_distances(made[rows], real)
        inside += int((squared <= radius).any(1).sum())
        balls += int((squared <= wide).sum())
        recalled |= (squared <= own[rows, None]).any(0)
        nearest = np.minimum(nearest, squared.min(0))
    return Manifolds(
        precision=inside / len(made),
        recall=float(recalled.mean()),
        density=balls / (NEIGHBOURS_OF_DENSITY * len(made)),
        coverage=float((nearest <= wide).mean()),
    )


def _radii(x: Array, neighbours: int) -> Array:
    """Squared distance of each to its k-th neighbour among the others, (n,)."""
    found = []
    for start in range(0, len(x), ROWS):
        squared = _squared_distances(x[start : start + ROWS], x)
        found.append(np.partition(squared, neighbours, axis=1)[:, neighbours])  # the nearest is itself
    return np.concatenate(found)


def _squared_distances(x: Array, y: Array) -> Array:
    """(n, d) and (m, d) to (n, m)."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    squared: Array = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    return np.maximum(squared, 0)
