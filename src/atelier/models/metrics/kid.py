"""The Kernel Inception Distance: Bińkowski et al. 2018, "Demystifying MMD GANs", arXiv:1801.01401, section 4."""

import numpy as np

from atelier.models.metrics.mmd import Array, mmd


def polynomial_kernel(x: Array, y: Array) -> Array:
    """k(x, y) = (x·y / d + 1)³, of features (n, d) and (m, d): (n, m)."""
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def kid(x: Array, y: Array) -> float:
    """Unbiased MMD² under the polynomial kernel; it may be below zero. Papers print it times 1000.

    Args:
        x: features of one set (n, d), n of at least 2.
        y: features of the other (m, d), m of at least 2.
    """
    kernels = polynomial_kernel(x, x), polynomial_kernel(y, y), polynomial_kernel(x, y)
    return float(mmd(*kernels, np.ones((1, len(x))), np.ones((1, len(y))))[0])
