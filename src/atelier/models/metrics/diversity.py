"""Whether a generator's pictures still differ from each other, or collapsed into one."""

import numpy as np

from atelier.models.metrics.mmd import Array


def diversity(features: Array) -> float:
    """Mean Euclidean distance between the features of two different pictures.

    Args:
        features: (n, d), n of at least 2.
    """
    squared = (features**2).sum(1)
    distances = np.sqrt(np.maximum(squared[:, None] + squared - 2 * features @ features.T, 0))
    n = len(features)
    return float((distances.sum() - np.trace(distances)) / (n * (n - 1)))


def mean_squared_distance(total: Array, squares: float, count: int) -> float:
    """Mean squared Euclidean distance of all pairs of different points, from their sums alone.

    In points of `lpips.embed` it is the mean LPIPS of all pairs of a generator's pictures: the diversity of Zhu et al.
    2017, "Toward Multimodal Image-to-Image Translation", arXiv:1711.11586, section 5, who take random pairs.

    Args:
        total: sum of the points (d,).
        squares: sum of their squared norms.
        count: how many points, at least 2.
    """
    return 2 * (count * squares - float(total @ total)) / (count * (count - 1))
