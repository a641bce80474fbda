"""How well codes of generated pictures go with factors that people know, such as the digit and its slant."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
MOST_CATEGORIES = 16  # of `assignment_accuracy`, whose time doubles with each


def assignment_accuracy(codes: Integers, classes: Integers, count: int) -> tuple[float, list[int]]:
    """Share of pictures whose class is the one that their code stands for, in the best assignment of codes to classes.

    Each code stands for one class and each class has one code, as in Xie et al. 2016, "Unsupervised Deep Embedding for
    Clustering Analysis", equation 10. Found by dynamic programming over subsets of classes.

    Args:
        codes: category of each picture, (N,), from 0.
        classes: class of each picture, (N,), from 0.
        count: of categories and of classes.

    Returns:
        The share, 0…1, and the class of each code.
    """
    if count > MOST_CATEGORIES:
        raise ValueError(f"an assignment of {count} categories takes too long: {MOST_CATEGORIES} at most")
    table = np.zeros((count, count), np.int64)
    np.add.at(table, (codes, classes), 1)
    best: dict[int, tuple[int, list[int]]] = {
        0: (0, [])
    }  # by the set of classes that the first codes have: right pictures, and their classes
    for row in table:
        following: dict[int, tuple[int, list[int]]] = {}
        for taken, (right, chosen) in best.items():
            for of, pictures in enumerate(row.tolist()):
                key = taken | 1 << of
                if key != taken and (key not in following or right + pictures > following[key][0]):
                    following[key] = right + pictures, [*chosen, of]
        best = following
    right, chosen = best[2**count - 1]
    return right / len(codes), chosen


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Spearman's ρ of two series (N,), -1…1; ties have their mean rank, and a constant series gives 0."""
    x, y = (_ranks(one) - (len(one) - 1) / 2 for one in (a, b))
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale else 0.0


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts + 1) / 2)[places]
    return ranks


def slant(pictures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slant of bright strokes on black: how far they lean to the right for each step up, from second moments.

    μ₁₁ / μ₀₂ of Hu 1962, "Visual Pattern Recognition by Moment Invariants"; what deskewing takes out of digits.

    Args:
        pictures: (N, H, W), light 0 or more.

    Returns:
        (N,): 0 upright, 1 at 45° to the right; 0 of a black picture.
    """
    _, height, width = pictures.shape
    up, right = np.arange(height)[::-1, None], np.arange(width)[None]
    mass = np.maximum(pictures.sum((1, 2)), 1e-12)
    y, x = ((pictures * axis).sum((1, 2)) / mass for axis in (up, right))
    dy, dx = up - y[:, None, None], right - x[:, None, None]
    lean: NDArray[np.float64] = (pictures * dx * dy).sum((1, 2)) / np.maximum((pictures * dy**2).sum((1, 2)), 1e-12)
    return lean


def information_gap(codes: Integers, factors: Integers) -> NDArray[np.float64]:
    """MIG of each factor: how much more the code that knows most of it knows than the next one.

    Chen et al. 2018, "Isolating Sources of Disentanglement in Variational Autoencoders", equation 6, from counts.

    Args:
        codes: (N, C), C ≥ 2, from 0; continuous codes in bins.
        factors: (N, F), as codes.

    Returns:
        (F,), in shares of the factor's entropy: 0 where two codes know as much of it, 1 where one knows all.
    """
    found = []
    for factor in factors.T:
        entropy = _entropy(factor)
        known = sorted(_entropy(code) + entropy - _entropy(code * (factor.max() + 1) + factor) for code in codes.T)
        found.append((known[-1] - known[-2]) / entropy if entropy else 0.0)
    return np.array(found)


def _entropy(values: Integers) -> float:
    """Of the distribution of whole numbers, nats."""
    shares = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(shares * np.log(shares)).sum())
