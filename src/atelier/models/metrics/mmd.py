"""The squared maximum mean discrepancy between sets of pictures, and how far a sample's accident moves it.

Gretton et al. 2012, "A Kernel Two-Sample Test". Everything is computed from one kernel matrix over all pictures, so a
resample costs a matrix product and no features are evaluated again.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_LEAST = 1e-9  # a distance that is not zero


@dataclass(frozen=True)
class Comparison:
    """Distance of the stylized pictures to the style's, beside that of the untouched photographs (the baseline)."""

    stylized: float
    photos: float
    low: float  # 2.5 % … 97.5 % of `stylized` over resampled groups
    high: float
    photos_low: float  # the same of `photos`
    photos_high: float
    difference_low: float  # the same of stylized - photos: below 0 it is surely nearer to the style
    difference_high: float
    ratio: float | None  # stylized / photos: 0 is the style, 1 no better than doing nothing; None where photos <= 0
    ratio_low: float | None  # None where `photos` is not surely above 0: a ratio to it may be anything (Fieller 1954)
    ratio_high: float | None

    def as_dict(self) -> dict[str, float]:
        """The fields that have a value."""
        return {name: number for name, number in asdict(self).items() if number is not None}


def group_weights(groups: list[str], resamples: int, generator: np.random.Generator) -> Array:
    """How often each picture is drawn when whole groups are drawn with replacement (a cluster bootstrap).

    Crops of one parent are no independent observations: drawing pictures would make intervals too narrow. With a
    single group there is nothing to draw, and pictures are drawn instead.

    Args:
        resamples: number of draws, R.

    Returns:
        (R, n) counts.
    """
    names, member = np.unique(groups, return_inverse=True)
    if len(names) == 1:
        member = np.arange(len(groups))
    units = int(member.max()) + 1
    draws = generator.multinomial(units, np.full(units, 1 / units), size=resamples)  # (R, units)
    return draws[:, member].astype(np.float64)


def mmd(xx: Array, yy: Array, xy: Array, wx: Array, wy: Array) -> Array:
    """The unbiased estimate of MMD², Gretton et al. 2012 eq. (3), of weighted samples.

    A pair of one picture with itself never counts, neither on the diagonal nor as two draws of the same picture: that
    keeps resampled estimates on the level of the full one.

    Args:
        xx: kernel within X, (n, n).
        yy: kernel within Y, (m, m).
        xy: kernel between X and Y, (n, m).
        wx: counts of X's pictures in each of R samples, (R, n).
        wy: counts of Y's pictures, (R, m).

    Returns:
        (R,) estimates; NaN where a sample holds one picture only.
    """

    def within(k: Array, w: Array) -> Array:
        pairs = w.sum(1) ** 2 - (w**2).sum(1)
        total = ((w @ k) * w).sum(1) - (w**2) @ np.diag(k)
        return np.asarray(np.divide(total, pairs, out=np.full(len(w), np.nan), where=pairs > 0))

    between = ((wx @ xy) * wy).sum(1) / (wx.sum(1) * wy.sum(1))
    return np.asarray(within(xx, wx) + within(yy, wy) - 2 * between)


def resampled(kernel: Array, photos: list[str], paintings: list[str], resamples: int, seed: int) -> tuple[Array, Array]:
    """Distance to the paintings of stylized photographs and of the photographs, of the sample and of its resamples.

    The draws depend on the groups and the seed alone: two models on the same pictures are compared draw by draw.

    Args:
        kernel: (2n + m, 2n + m) over n stylized pictures, the n photographs that they were made from, m paintings.
        photos: groups of the n photographs; a stylized picture is drawn with its photograph.
        resamples: number of bootstrap resamples, R.

    Returns:
        (R + 1,) of the stylized pictures and (R + 1,) of the photographs; the first is the sample itself.

    Raises:
        ValueError: there are fewer than two pictures on a side.
    """
    n, m = len(photos), len(paintings)
    assert kernel.shape == (2 * n + m, 2 * n + m)
    if min(n, m) < 2:
        raise ValueError(f"a comparison needs two pictures on each side, there are {n} photos and {m} paintings")
    generator = np.random.default_rng(seed)
    wx = np.concatenate([np.ones((1, n)), group_weights(photos, resamples, generator)])
    wy = np.concatenate([np.ones((1, m)), group_weights(paintings, resamples, generator)])
    s, p, y = slice(0, n), slice(n, 2 * n), slice(2 * n, None)
    stylized = mmd(kernel[s, s], kernel[y, y], kernel[s, y], wx, wy)
    return stylized, mmd(kernel[p, p], kernel[y, y], kernel[p, y], wx, wy)


def baseline(untouched: Array) -> float:
    """The photographs' distance that differences are shown as shares of: above zero, the same in all resamples.

    Args:
        untouched: (R + 1,) of `resampled`.

    Returns:
        The distance of the sample, or the upper end of its 95 % interval where that is not surely above zero.
    """
    low, high = _interval(untouched)
    return float(untouched[0] if low > 0 else max(high, _LEAST))


def compare(kernel: Array, photos: list[str], paintings: list[str], resamples: int, seed: int) -> Comparison:
    """Compare stylized photographs and the photographs themselves with paintings; arguments as `resampled`."""
    stylized, untouched = resampled(kernel, photos, paintings, resamples, seed)
    low, high = _interval(stylized)
    photos_low, photos_high = _interval(untouched)
    difference_low, difference_high = _interval(stylized - untouched)
    sure = photos_low > _LEAST
    ends = _interval(stylized / np.maximum(untouched, _LEAST)) if sure else (None, None)
    return Comparison(
        stylized=float(stylized[0]),
        photos=float(untouched[0]),
        low=low,
        high=high,
        photos_low=photos_low,
        photos_high=photos_high,
        difference_low=difference_low,
        difference_high=difference_high,
        ratio=float(stylized[0] / untouched[0]) if untouched[0] > _LEAST else None,
        ratio_low=ends[0],
        ratio_high=ends[1],
    )


def _interval(estimates: Array) -> tuple[float, float]:
    """The 95 % interval of resampled estimates (R + 1,), of which the first is that of the sample."""
    low, high = np.nanquantile(estimates[1:], (0.025, 0.975))
    return float(low), float(high)
