"""The Fréchet distance between two sets of features: Heusel et al. 2017, arXiv:1706.08500, eq. (6).

In features of Inception's last pooling it is FID; in any others it must not be called so. It is biased upwards by
small samples, and so is every resample of them: it has no bootstrap interval here, KID has.
"""

import numpy as np

from atelier.models.metrics.mmd import Array


def frechet(x: Array, y: Array) -> float:
    """|μx - μy|² + Tr(Σx + Σy - 2 (Σx Σy)^½) of the Gaussians fitted to two sets.

    With Σx = A'A and Σy = B'B the trace of the root is the sum of the singular values of A B', so no d×d root is
    taken: exact, also where few pictures leave the covariances singular.

    Args:
        x: features of one set (n, d), n of at least 2.
        y: features of the other (m, d), m of at least 2.
    """
    a, b = _root(x), _root(y)
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * cross)


def _root(x: Array) -> Array:
    """A (min(n, d), d) with A'A the covariance of x."""
    centred = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r") if len(x) > x.shape[1] else centred)
