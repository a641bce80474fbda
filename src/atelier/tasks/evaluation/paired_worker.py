"""A worker's part of the paired comparison: differences of two models on the same pictures, and canary pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atelier.models.metrics.gram import style_kernel
from atelier.models.metrics.inversion import INVERTED
from atelier.models.metrics.kid import polynomial_kernel
from atelier.models.metrics.mmd import ratio_of, resampled
from atelier.tasks.evaluation.gate import Difference
from atelier.tasks.evaluation.measures import Features, Stylized, measure_stylized, show
from atelier.tasks.evaluation.metric_catalogue import KID, SSIM, STYLE
from atelier.tasks.evaluation.protocol import SHOWN_PX, Bootstrap, MeasuringEncoder
from atelier.tasks.evaluation.summary import group_draws, summarize
from atelier.tasks.images.codec import Pixels


@dataclass(frozen=True)
class PairMetrics:
    """How two models differ."""

    differences: dict[str, Difference]  # by key of the metric
    metrics: dict[str, Any]  # all metrics of `prod`


@dataclass(frozen=True)
class Canaries:
    """The canary pictures of one model."""

    measured: list[Stylized]  # one picture each
    shown: list[tuple[Pixels, Pixels]]  # before and after, for people


@dataclass(frozen=True)
class CanaryPairs:
    """The canary pictures of two models."""

    values: list[tuple[tuple[float, float], tuple[float, float], tuple[bool, bool]]]  # as in `CanaryResult`
    pictures: list[list[Pixels]]  # a row for each: before, by `prod`, by the candidate


def compare(
    candidate: Sequence[Stylized],
    prod: Sequence[Stylized],
    photos: Sequence[Features],
    paintings: Sequence[Features],
    encoder: MeasuringEncoder,
    bootstrap: Bootstrap,
) -> PairMetrics:
    """Compare two models, resample by resample."""
    untouched, both = [*photos, *paintings], (candidate, prod)
    metrics, _ = summarize(prod, untouched, encoder, bootstrap)
    if SSIM.section not in metrics:  # what is made from noise has no picture before it
        return PairMetrics({}, metrics)
    ours, theirs = (_ratios([*(batch.features for batch in of), *untouched], bootstrap) for of in both)
    differences = {key: _difference(ours[key], theirs[key]) for key in ours}
    weights = np.concatenate([np.ones((1, len(bootstrap.photo_groups))), group_draws(bootstrap)])
    similarity = [np.concatenate([batch.ssim for batch in of if batch.ssim is not None]) for of in both]
    differences[SSIM.key] = _difference(*(weights @ values / weights.sum(1) for values in similarity))
    return PairMetrics(differences, metrics)


def paint_canaries(data: Sequence[bytes], size_px: int, encoder: MeasuringEncoder, model: Path) -> Canaries:
    """Paint and measure canary pictures."""
    measured = [measure_stylized([one], size_px, model, encoder) for one in data]
    return Canaries(measured, show(data, model, SHOWN_PX) if data else [])


def compare_canaries(candidate: Canaries, prod: Canaries, paintings: Sequence[Features]) -> CanaryPairs:
    """Compare the canary pictures of two models, with the paintings as their style."""
    style = [np.concatenate(layer).mean(0) for layer in zip(*(part.grams for part in paintings), strict=True)]
    values = [
        (
            (_structure(ours), _structure(theirs)),
            (_style_distance(ours, style), _style_distance(theirs, style)),
            (_inverted(ours), _inverted(theirs)),
        )
        for ours, theirs in zip(candidate.measured, prod.measured, strict=True)
    ]
    pictures = [[before, old, new] for (before, new), (_, old) in zip(candidate.shown, prod.shown, strict=True)]
    return CanaryPairs(values, pictures)


def _ratios(features: Sequence[Features], bootstrap: Bootstrap) -> dict[str, np.ndarray]:
    """The distances to the style as shares of the photographs' own: of the sample, then of each resample (R + 1,)."""
    groups = bootstrap.photo_groups, bootstrap.painting_groups
    deep = np.concatenate([part.deep for part in features]).astype(np.float64)  # (2n + m, D)
    grams = [np.concatenate(layer) for layer in zip(*(part.grams for part in features), strict=True)]
    kernels = {
        KID.ratio.key: polynomial_kernel(deep, deep),
        STYLE.ratio.key: style_kernel(grams, slice(2 * len(bootstrap.photo_groups), None)),
    }
    return {
        key: ratio_of(*resampled(kernel, *groups, bootstrap.resamples, bootstrap.seed))
        for key, kernel in kernels.items()
    }


def _difference(candidate: np.ndarray, prod: np.ndarray) -> Difference:
    """Of the sample (the first of each), with the interval of the resamples."""
    low, high = np.nanquantile((candidate - prod)[1:], (0.025, 0.975))
    return Difference(float(candidate[0]), float(prod[0]), float(low), float(high))


def _structure(one: Stylized) -> float:
    assert one.ssim is not None  # a canary is painted
    return float(one.ssim[0])


def _inverted(one: Stylized) -> bool:
    assert one.correlation is not None
    return bool(one.correlation[0] < INVERTED)


def _style_distance(one: Stylized, style: list[np.ndarray]) -> float:
    """Squared distance of a picture's Gram matrices to the style's mean, whose squared norm is 1 in each layer."""
    layers = zip(one.features.grams, style, strict=True)
    return float(np.mean([np.square(gram[0] - mean).sum() / np.square(mean).sum() for gram, mean in layers]))
