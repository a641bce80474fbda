"""The metrics of a model, from its measured batches: distances of sets, means over pictures, and their intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from atelier.models.metrics.artfid import artfid
from atelier.models.metrics.checkerboard import checkerboard
from atelier.models.metrics.content import content_distances
from atelier.models.metrics.diversity import diversity, mean_squared_distance
from atelier.models.metrics.fid import frechet
from atelier.models.metrics.gram import style_kernel
from atelier.models.metrics.inversion import INVERTED
from atelier.models.metrics.kid import polynomial_kernel
from atelier.models.metrics.manifold import NEIGHBOURS_OF_DENSITY, precision_recall
from atelier.models.metrics.mmd import compare, group_weights
from atelier.models.metrics.path_length import mean_length
from atelier.models.metrics.repetition import VISIBLE
from atelier.tasks.evaluation.measures import Features, LpipsBatch, Stylized
from atelier.tasks.evaluation.protocol import LPIPS_IN, Bootstrap, MeasuringEncoder

BEST_DB = 60.0  # of a picture in means of PSNR: equal ones would make them infinite


def summarize(
    stylized: Sequence[Stylized], untouched: Sequence[Features], encoder: MeasuringEncoder, bootstrap: Bootstrap
) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """All metrics of a model, from the features of all batches.

    Args:
        untouched: features of the same photographs, then of the paintings.

    Returns:
        The metrics as `reports/evaluation.json` holds them, and each picture's SSIM and luminance correlation. Pictures
        that were made from noise have no metrics that compare them with a photograph, and no such pairs.
    """
    n = len(bootstrap.photo_groups)
    features = [*(batch.features for batch in stylized), *untouched]
    metrics, fid = _of_sets(stylized, features, encoder, bootstrap)
    ssims = [batch.ssim for batch in stylized if batch.ssim is not None]
    if not ssims:
        deep = np.concatenate([part.deep for part in features])
        lengths = [batch.path_lengths for batch in stylized if batch.path_lengths is not None]
        return metrics | _manifold(deep[:n], deep[2 * n :], encoder) | _path_length(lengths), []
    similarity = np.concatenate(ssims)
    correlations = np.concatenate([batch.correlation for batch in stylized if batch.correlation is not None])
    content = np.concatenate([part.content for part in features[: 2 * len(stylized)]]).astype(np.float64)
    kept, unrelated = content_distances(content[n:], content[:n], bootstrap.photo_groups)
    weights = group_draws(bootstrap)
    low, high = _interval(similarity, weights)
    content_low, content_high = _interval(kept, weights)
    metrics |= {
        "content": {
            "encoder": encoder.name,
            "independent": encoder.independent,
            **_beside(float(kept.mean()), unrelated),
            "ratio_low": content_low / unrelated,
            "ratio_high": content_high / unrelated,
        },
        "ssim": {"mean": float(similarity.mean()), "low": low, "high": high, "worst": float(similarity.min())},
        "inversion": {"share": float((correlations < INVERTED).mean()), "correlation": float(correlations.mean())},
    }
    gains = [batch.psnr for batch in stylized if batch.psnr is not None]
    if gains:
        metrics["psnr"] = _psnr_metrics(np.concatenate(gains, 1), weights)
    metrics |= _repetition([batch.repetition for batch in stylized if batch.repetition is not None])
    distances = [batch.lpips.distances for batch in stylized if batch.lpips and batch.lpips.distances is not None]
    if distances:
        inception_fid = fid if encoder.name == "inception" else None
        metrics |= _lpips_metrics(np.concatenate(distances).astype(np.float64), weights, inception_fid)
    return metrics, list(zip(similarity.tolist(), correlations.tolist(), strict=True))


def group_draws(bootstrap: Bootstrap) -> np.ndarray:
    """How often each photograph is in each resample, (R, n)."""
    return group_weights(bootstrap.photo_groups, bootstrap.resamples, np.random.default_rng(bootstrap.seed))


def _of_sets(
    stylized: Sequence[Stylized], features: Sequence[Features], encoder: MeasuringEncoder, bootstrap: Bootstrap
) -> tuple[dict[str, Any], tuple[float, float]]:
    """The metrics of whole sets of pictures, which need no pairs; and the Fréchet distances of both sets."""
    n = len(bootstrap.photo_groups)
    resamples = bootstrap.photo_groups, bootstrap.painting_groups, bootstrap.resamples, bootstrap.seed
    deep = np.concatenate([part.deep for part in features]).astype(np.float64)  # (2n + m, D), paintings last
    grams = [np.concatenate(layer) for layer in zip(*(part.grams for part in features), strict=True)]
    kid = compare(polynomial_kernel(deep, deep), *resamples)
    style = compare(style_kernel(grams, slice(2 * n, None)), *resamples)
    fid = frechet(deep[:n], deep[2 * n :]), frechet(deep[n : 2 * n], deep[2 * n :])
    # only Inception's features make it the Fréchet Inception Distance
    fid_name = "fid_inception" if encoder.name == "inception" else f"frechet_{encoder.name}"
    varied = {"metric": f"distance_{encoder.name}", **_beside(diversity(deep[:n]), diversity(deep[n : 2 * n]))}
    lpips = [batch.lpips for batch in stylized if batch.lpips]
    grids = [
        checkerboard(torch.from_numpy(np.concatenate([getattr(batch, name) for batch in stylized])))
        for name in ("luminance", "photo_luminance")
    ]
    # a whole batch in its median pass: the first one also pays for warming up
    rate = float(np.median([len(batch.luminance) / batch.seconds for batch in stylized]))
    metrics = {
        "kid": {"metric": f"kid_{encoder.name}", **kid.as_dict()},
        "frechet": {"metric": fid_name, **_beside(*fid)},
        "style": {"encoder": encoder.name, "independent": encoder.independent, **style.as_dict()},
        "diversity": _lpips_diversity(lpips, n) if len(lpips) == len(stylized) else varied,
        "checkerboard": _beside(*grids),
        "speed": {"images_per_second": rate},
    }
    return metrics, fid


def _manifold(made: np.ndarray, real: np.ndarray, encoder: MeasuringEncoder) -> dict[str, Any]:
    """How generated pictures (n, D) lie among real ones of the style (m, D); nothing where there are too few."""
    if min(len(made), len(real)) <= NEIGHBOURS_OF_DENSITY:
        return {}
    return {"manifold": {"encoder": encoder.name, **precision_recall(made, real)._asdict()}}


def _path_length(batches: Sequence[np.ndarray]) -> dict[str, Any]:
    """The perceptual path length; nothing where it was not measured."""
    if not batches:
        return {}
    return {"path_length": {"metric": f"lpips_{LPIPS_IN}", "mean": mean_length(np.concatenate(batches))}}


def _repetition(batches: Sequence[np.ndarray]) -> dict[str, Any]:
    """How many pictures with plain areas have a visible pattern there; without any such picture none has."""
    scores = np.concatenate(batches)
    scores = scores[np.isfinite(scores)]
    share, middle = (float((scores > VISIBLE).mean()), float(np.median(scores))) if len(scores) else (0.0, 0.0)
    return {"repetition": {"share": share, "median": middle, "pictures": len(scores)}}


def _psnr_metrics(values: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """The means of `Stylized.psnr` (2, n), with photographs drawn (R, n) times."""
    restored, given = np.minimum(values, BEST_DB)
    low, high = _interval(restored, weights)
    gain_low, gain_high = _interval(restored - given, weights)
    means = {"mean": float(restored.mean()), "low": low, "high": high, "given": float(given.mean())}
    return means | {"gain": float((restored - given).mean()), "gain_low": gain_low, "gain_high": gain_high}


def _lpips_diversity(batches: Sequence[LpipsBatch], count: int) -> dict[str, Any]:
    """Mean LPIPS of all pairs of `count` pictures, in all batches."""
    varied = []
    for sums in ([batch.stylized for batch in batches], [batch.photos for batch in batches]):
        total = np.sum([points for points, _ in sums], axis=0)
        varied.append(mean_squared_distance(total, sum(squares for _, squares in sums), count))
    return {"metric": f"lpips_{LPIPS_IN}", **_beside(*varied)}


def _lpips_metrics(distances: np.ndarray, weights: np.ndarray, fid: tuple[float, float] | None) -> dict[str, Any]:
    """The measures of LPIPS distances (n,), with photographs drawn (R, n) times, and of both FIDs if they are known."""
    mean = float(distances.mean())
    low, high = _interval(distances, weights)
    measures: dict[str, Any] = {"lpips": {"metric": f"lpips_{LPIPS_IN}", "mean": mean, "low": low, "high": high}}
    if fid is not None:
        scores = _beside(artfid(mean, fid[0]), artfid(0.0, fid[1]))
        measures["artfid"] = {"metric": f"lpips_{LPIPS_IN}, fid_inception", **scores}
    return measures


def _beside(stylized: float, photos: float) -> dict[str, float]:
    """A measure beside its baseline."""
    return {"stylized": stylized, "photos": photos, "ratio": stylized / max(photos, 1e-9)}


def _interval(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """2.5 % and 97.5 % of the mean over resampled groups."""
    means = weights @ values / weights.sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
