"""Means over photographs with their 95 % interval, by the bootstrap."""

from collections.abc import Sequence

import numpy as np


def interval(values: Sequence[float], resamples: int = 2000) -> dict[str, float]:
    """The mean, and the 2.5th and 97.5th percentile of the means of resamples, which are always the same ones."""
    numbers = np.array(values)
    drawn = np.random.default_rng(0).integers(0, len(numbers), (resamples, len(numbers)))
    low, high = np.percentile(numbers[drawn].mean(1), (2.5, 97.5))
    found = {"mean": numbers.mean(), "low": low, "high": high}
    return {name: round(float(value), 4) for name, value in found.items()}
