"""Whether two sets of pictures come from one source: the kernel two-sample test, by permutations.

Gretton et al. 2012, "A Kernel Two-Sample Test", with the statistic of eq. (3), as `mmd` has it. One kernel matrix
serves all permutations, and all permutations are one matrix product. The kernel is a Gaussian on half-whitened
features: measured on photographs with foreign pictures among them (`benchmarks/drift.py`), it sees smaller shares of
them than KID's polynomial, which is made for distances between many pictures and not for tests of few.
"""

from dataclasses import dataclass

import numpy as np

from atelier.models.metrics.mmd import Array

TIE = 1e-12  # differences of rounding: sets that are equal are no less alike than their permutations
_AT_ONCE = 1000  # permutations in one matrix product


@dataclass(frozen=True)
class Drift:
    """How far two sets are apart, and whether that may be chance."""

    distance: float  # MMD², about 0 for sets of one source; it may be below
    p: float  # share of the permutations that are as far apart, the sets as they are counted among them


def drift(x: Array, y: Array, permutations: int, seed: int) -> Drift:
    """Test whether two sets of features are of one distribution.

    Rows must be independent: of the crops of one parent, give one.

    Args:
        x: features (n, d), n of at least 2.
        y: features (m, d), m of at least 2.
        permutations: R; the smallest p is 1 / (R + 1).

    Raises:
        ValueError: a set has fewer than two rows.
    """
    n, m = len(x), len(y)
    if min(n, m) < 2:
        raise ValueError(f"a test needs two pictures on each side, there are {n} and {m}")
    kernel = gaussian_kernel(half_whitened(np.concatenate([x, y])))
    here = np.concatenate([np.ones(n), np.zeros(m)])  # which rows are in the first set
    observed = float(distances(kernel, here[None])[0])
    generator, as_far = np.random.default_rng(seed), 0
    for first in range(0, permutations, _AT_ONCE):
        rows = np.tile(here, (min(_AT_ONCE, permutations - first), 1))
        as_far += int((distances(kernel, generator.permuted(rows, axis=1)) >= observed - TIE).sum())
    return Drift(observed, (1 + as_far) / (1 + permutations))


def half_whitened(features: Array) -> Array:
    """Principal components (N, min(N, d)) of features (N, d), divided by the square root of their deviation.

    Undivided, the few that vary most hide all others; divided by all of it, the noise of the least counts as much.
    """
    centred = features - features.mean(0)
    deviation = centred.std(0)
    scaled = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)
    left, singular, _ = np.linalg.svd(scaled, full_matrices=False)
    return np.asarray(left * np.sqrt(singular))


def gaussian_kernel(points: Array) -> Array:
    """exp(-|a - b|² / s) of points (N, d), s the median squared distance, as Gretton et al. take it: (N, N)."""
    norms = (points**2).sum(1)
    squares = np.maximum(norms[:, None] + norms - 2 * points @ points.T, 0)
    pairs = squares[np.triu_indices(len(points), 1)]
    scale = float(np.median(pairs)) or float(pairs.mean()) or 1.0  # zero where most, or all, are equal
    return np.asarray(np.exp(-squares / scale))


def distances(kernel: Array, here: Array) -> Array:
    """MMD² of each division of the same pictures into two sets: `mmd` with one matrix product in place of three.

    Args:
        kernel: of all pictures, (N, N).
        here: 1 for those of the first set and 0 for those of the second, (R, N).

    Returns:
        (R,).
    """
    n = here.sum(1)
    m = here.shape[1] - n
    within = ((here @ kernel) * here).sum(1)  # the first set's pairs
    across = here @ kernel.sum(1) - within
    others = kernel.sum() - 2 * across - within  # the second's
    own = here @ np.diag(kernel)  # of a picture with itself, which never counts
    first = (within - own) / (n * (n - 1))
    second = (others - (np.trace(kernel) - own)) / (m * (m - 1))
    return np.asarray(first + second - 2 * across / (n * m))
