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
