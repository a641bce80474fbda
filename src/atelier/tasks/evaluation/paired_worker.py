"""A worker's part of the paired comparison: differences of two models on the same pictures, and canary pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atelier.models.metrics.gram import style_kernel
from atelier.models.metrics.inversion import INVERTED
from atelier.models.metrics.kid import polynomial_kernel
from atelier.models.metrics.mmd import baseline, resampled
from atelier.tasks.evaluation.gate import CanaryResult, Difference
from atelier.tasks.evaluation.measures import Features, Stylized, measure_stylized, show
from atelier.tasks.evaluation.metric_catalogue import KID, SSIM, STYLE
from atelier.tasks.evaluation.protocol import SHOWN_PX, Bootstrap, MeasuringEncoder
from atelier.tasks.evaluation.summary import group_draws, summarize
from atelier.tasks.images.codec import Pixels


@dataclass(frozen=True)
class Canaries:
    """The canary pictures of one model."""

    measured: list[Stylized]  # one picture each
    shown: list[tuple[Pixels, Pixels]]  # before and after, for people


def compare(
    candidate: Sequence[Stylized],
    prod: Sequence[Stylized],
    photos: Sequence[Features],
    paintings: Sequence[Features],
    encoder: MeasuringEncoder,
    bootstrap: Bootstrap,
) -> tuple[dict[str, Difference], dict[str, Any]]:
    """Differences by metric of two models, measured on the same photographs, and all metrics of `prod`."""
    untouched, both = [*photos, *paintings], (candidate, prod)
    metrics, _ = summarize(prod, untouched, encoder, bootstrap)
    if SSIM.section not in metrics:  # what is made from noise has no picture before it
        return {}, metrics
    ours, theirs = (_shares([*(batch.features for batch in of), *untouched], bootstrap) for of in both)
    differences = {key: _difference(ours[key], theirs[key]) for key in ours}
    weights = np.concatenate([np.ones((1, len(bootstrap.photo_groups))), group_draws(bootstrap)])
    similarity = [np.concatenate([batch.ssim for batch in of if batch.ssim is not None]) for of in both]
    differences[SSIM.key] = _difference(*(weights @ values / weights.sum(1) for values in similarity))
    return differences, metrics


def paint_canaries(data: Sequence[bytes], size_px: int, encoder: MeasuringEncoder, model: Path) -> Canaries:
    """Paint and measure canary pictures."""
    measured = [measure_stylized([one], size_px, model, encoder) for one in data]
    return Canaries(measured, show(data, model, SHOWN_PX) if data else [])


def compare_canaries(
    names: Sequence[str], candidate: Canaries, prod: Canaries, paintings: Sequence[Features]
) -> tuple[tuple[CanaryResult, ...], list[list[Pixels]]]:
    """Results of canary pictures, with the paintings as their style, and each before, by `prod`, by the candidate."""
    style = [np.concatenate(layer).mean(0) for layer in zip(*(part.grams for part in paintings), strict=True)]
    ours, theirs = ([_canary_values(one, style) for one in of.measured] for of in (candidate, prod))
    results = tuple(
        CanaryResult(name, (new[0], old[0]), (new[1], old[1]), (new[2], old[2]))
        for name, new, old in zip(names, ours, theirs, strict=True)
    )
    return results, [[before, old, new] for (before, new), (_, old) in zip(candidate.shown, prod.shown, strict=True)]


def _shares(features: Sequence[Features], bootstrap: Bootstrap) -> dict[str, np.ndarray]:
    """The distances to the style as shares of the photographs' own: of the sample, then of each resample (R + 1,).

    The baseline is that of the sample in all of them: in some resamples of few pictures it is near zero, and a ratio to
    it could be anything.
    """
    groups = bootstrap.photo_groups, bootstrap.painting_groups
    deep = np.concatenate([part.deep for part in features]).astype(np.float64)  # (2n + m, D)
    grams = [np.concatenate(layer) for layer in zip(*(part.grams for part in features), strict=True)]
    kernels = {
        KID.ratio.key: polynomial_kernel(deep, deep),
        STYLE.ratio.key: style_kernel(grams, slice(2 * len(bootstrap.photo_groups), None)),
    }
    found = {}
    for key, kernel in kernels.items():
        stylized, untouched = resampled(kernel, *groups, bootstrap.resamples, bootstrap.seed)
        found[key] = stylized / baseline(untouched)
    return found


def _difference(candidate: np.ndarray, prod: np.ndarray) -> Difference:
    """Of the sample (the first of each), with the interval of the resamples."""
    low, high = np.nanquantile((candidate - prod)[1:], (0.025, 0.975))
    return Difference(float(candidate[0]), float(prod[0]), float(low), float(high))


def _canary_values(one: Stylized, style: list[np.ndarray]) -> tuple[float, float, bool]:
    """SSIM, distance to the style and inversion of a canary picture, as `CanaryResult` has them."""
    assert one.ssim is not None  # a canary is painted
    assert one.correlation is not None
    layers = zip(one.features.grams, style, strict=True)
    distance = np.mean([np.square(gram[0] - mean).sum() / np.square(mean).sum() for gram, mean in layers])
    return float(one.ssim[0]), float(distance), bool(one.correlation[0] < INVERTED)
