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


def mean_distance(made: Array, real: Array) -> float:
    """Squared distance of the means of two sets of features, as a share of the real ones' variance; unbiased.

    The first term of the Fréchet distance, ‖μ₁ − μ₂‖² in Heusel et al. 2017, equation 6, in units of the trace of the
    real pictures' covariance, so that it depends neither on the encoder's units nor on the number of pictures: 0 for
    pictures of one kind, 1 where the mean is as far off as one real picture is from it.

    Args:
        made: features of generated pictures (n, d), n above 1.
        real: features of real ones (m, d), m above 1.
    """
    own, theirs = (float(x.var(0, ddof=1).sum()) for x in (real, made))
    squared = float(np.square(made.mean(0) - real.mean(0)).sum()) - theirs / len(made) - own / len(real)
    return squared / max(own, 1e-12)
