"""What a worker of the contest does: stylize with one model, and hold the features of two against each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atelier.models.metrics.gram import style_kernel
from atelier.models.metrics.inversion import INVERTED
from atelier.models.metrics.kid import polynomial_kernel
from atelier.models.metrics.mmd import group_weights, ratio_of, resampled
from atelier.tasks.evaluation.gate import Difference
from atelier.tasks.evaluation.measures import Features, Stylized, measure_real, measure_stylized, show, summarize
from atelier.tasks.evaluation.metrics import KID, SSIM, STYLE
from atelier.tasks.evaluation.protocol import SHOWN_PX, EvaluateConfig, MeasuringEncoder
from atelier.tasks.images.codec import Pixels

Untouched = tuple[Sequence[tuple[list[bytes], Path]], Sequence[tuple[list[bytes], Path]]]  # photographs, paintings


@dataclass(frozen=True)
class Work:
    """What was made by one model."""

    stylized: list[Stylized]  # of the held-out pictures
    canaries: list[Stylized]  # one picture each
    shown: list[tuple[Pixels, Pixels]]  # the canaries before and after, for people


@dataclass(frozen=True)
class Contrasted:
    """How two models differ."""

    differences: dict[str, Difference]  # by metric
    metrics: dict[str, Any]  # all measures of `prod`
    canaries: list[tuple[tuple[float, float], tuple[float, float], tuple[bool, bool]]]  # as in `CanaryResult`
    pictures: list[list[Pixels]]  # a row for each canary: before, by `prod`, by the candidate


def stylize(
    data: Sequence[Sequence[bytes]], size: int, model: Path, encoder: MeasuringEncoder, canaries: Sequence[bytes]
) -> Work:
    """Measure what a model makes of pictures.

    Args:
        data: batches of encoded pictures.
        size: pixels a side that they are stylized and measured at.
        model: the model folder.
        encoder: the encoder.
        canaries: further encoded pictures.
    """
    made, first = [], 0
    for batch in data:
        made.append(measure_stylized(batch, size, model, encoder, first))
        first += len(batch)
    apart = [measure_stylized([canary], size, model, encoder) for canary in canaries]
    return Work(made, apart, show(canaries, model, SHOWN_PX) if canaries else [])


def contrast(
    candidate: Work,
    prod: Work,
    untouched: Untouched,
    size: int,
    photo_groups: list[str],
    painting_groups: list[str],
    encoder: MeasuringEncoder,
    config: EvaluateConfig,
) -> Contrasted:
    """Hold two models against each other.

    Args:
        candidate: what one made.
        prod: what the other made of the same pictures.
        untouched: batches of the photographs, and of the paintings, each with the file that keeps its features.
        size: pixels a side that all are measured at.
        photo_groups: the group of each photograph.
        painting_groups: the group of each painting.
        encoder: the encoder.
        config: how many resamples.
    """
    photos, paintings = ([measure_real(data, size, encoder, kept) for data, kept in part] for part in untouched)
    resamples = config.resamples, config.seed
    metrics, _ = summarize(prod.stylized, photos + paintings, photo_groups, painting_groups, encoder, *resamples)
    differences = {}
    similarity = [_similarity(work) for work in (candidate, prod)]
    if "ssim" in metrics:  # what is made from noise has no picture before it
        drawn = group_weights(photo_groups, resamples[0], np.random.default_rng(resamples[1]))
        weights = np.concatenate([np.ones((1, len(photo_groups))), drawn])
        ours, theirs = (
            _ratios(
                [batch.features for batch in work.stylized] + photos + paintings,
                photo_groups,
                painting_groups,
                *resamples,
            )
            for work in (candidate, prod)
        )
        differences = {key: _difference(ours[key], theirs[key]) for key in ours}
        differences[SSIM.key] = _difference(*(weights @ values / weights.sum(1) for values in similarity))
    style = [np.concatenate(layer).mean(0) for layer in zip(*(part.grams for part in paintings), strict=True)]
    results = [
        (
            (_structure(ours), _structure(theirs)),
            (_far(ours, style), _far(theirs, style)),
            (_inverted(ours), _inverted(theirs)),
        )
        for ours, theirs in zip(candidate.canaries, prod.canaries, strict=True)
    ]
    pictures = [[before, old, new] for (before, new), (_, old) in zip(candidate.shown, prod.shown, strict=True)]
    return Contrasted(differences, metrics, results, pictures)


def _similarity(work: Work) -> np.ndarray:
    return np.concatenate([batch.ssim for batch in work.stylized if batch.ssim is not None] or [np.empty(0)])


def _ratios(
    features: list[Features], photos: list[str], paintings: list[str], resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """The distances to the style as shares of the photographs' own: of the sample, then of each resample (R + 1,)."""
    deep = np.concatenate([part.deep for part in features]).astype(np.float64)  # (2n + m, D)
    grams = [np.concatenate(layer) for layer in zip(*(part.grams for part in features), strict=True)]
    kernels = {
        KID.ratio.key: polynomial_kernel(deep, deep),
        STYLE.ratio.key: style_kernel(grams, slice(2 * len(photos), None)),
    }
    return {key: ratio_of(*resampled(kernel, photos, paintings, resamples, seed)) for key, kernel in kernels.items()}


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


def _far(one: Stylized, style: list[np.ndarray]) -> float:
    """Squared distance of a picture's Gram matrices to the style's mean, whose squared norm is 1 in each layer."""
    layers = zip(one.features.grams, style, strict=True)
    return float(np.mean([np.square(gram[0] - mean).sum() / np.square(mean).sum() for gram, mean in layers]))
