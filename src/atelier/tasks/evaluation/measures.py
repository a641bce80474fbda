"""What a worker of the evaluation does with one batch of pictures, and with all batches' features at the end.

Pictures of every kind go through the same steps: the middle square, resized to the training size, then the encoder with
whatever resizing is its own.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models import artifact, encoders
from atelier.models.card import WEIGHTS
from atelier.models.encoders.calibrated import Calibrated
from atelier.models.files import replacing
from atelier.models.metrics.artfid import artfid
from atelier.models.metrics.checkerboard import checkerboard
from atelier.models.metrics.content import content_distances
from atelier.models.metrics.diversity import diversity, mean_squared_distance
from atelier.models.metrics.fid import frechet
from atelier.models.metrics.gram import gram_vectors, style_kernel
from atelier.models.metrics.inversion import INVERTED, correlation
from atelier.models.metrics.kid import polynomial_kernel
from atelier.models.metrics.lpips import SMALLEST, embed
from atelier.models.metrics.mmd import compare, group_weights
from atelier.models.metrics.ssim import ssim
from atelier.models.pixels import luminance
from atelier.tasks.evaluation.protocol import LPIPS_IN, Bootstrap, MeasuringEncoder
from atelier.tasks.images.codec import Pixels, center_square, decode, resize

CONTENT_CELLS = 8  # deep features are kept on a grid of at most 8×8: enough to see things move, small enough to keep


@dataclass(frozen=True)
class Features:
    """What is kept of a batch's features."""

    deep: np.ndarray  # (B, D) float32: the last features, averaged over the picture
    content: np.ndarray  # (B, D') float32: the content layer on a coarse grid
    grams: tuple[np.ndarray, ...]  # (B, D'') float32 for each style layer


@dataclass(frozen=True)
class LpipsBatch:
    """LPIPS of a batch."""

    distances: np.ndarray | None  # (B,) float32: from each photograph to its picture; None of one made from noise
    # of the points whose squared distances are LPIPS: their sum (D,) float64, and that of their squared norms
    stylized: tuple[np.ndarray, float]
    photos: tuple[np.ndarray, float]


@dataclass(frozen=True)
class Stylized:
    """What is measured on a batch of stylized pictures."""

    features: Features
    luminance: np.ndarray  # (B, 1, S, S) float32 in [0, 1]
    photo_luminance: np.ndarray  # as luminance, of the photographs
    ssim: np.ndarray | None  # (B,); None of pictures that were made from noise
    correlation: np.ndarray | None  # (B,), the same
    seconds: float  # to stylize the batch
    lpips: LpipsBatch | None = None  # None without weights of LPIPS, or where pictures are too small for it


def center_squares(files: Sequence[bytes], size: int) -> Tensor:
    """The middle squares of encoded pictures, uint8 (B, 3, size, size)."""
    return torch.from_numpy(np.stack([center_square(decode(data), size) for data in files])).permute(0, 3, 1, 2)


def measure_real(files: Sequence[bytes], size: int, encoder: MeasuringEncoder, cache: Path) -> Features:
    """Features of untouched pictures, read from `cache` when they are there.

    Args:
        files: encoded pictures.
        size: pixels a side that they are measured at.
        encoder: the encoder.
        cache: the safetensors file of exactly these pictures at this size in this encoder.
    """
    if cache.is_file():
        kept = load_file(cache)
        return Features(kept["deep"], kept["content"], tuple(kept[f"gram{i}"] for i in range(len(kept) - 2)))
    features = _features(center_squares(files, size), encoder)
    cache.parent.mkdir(parents=True, exist_ok=True)
    grams = {f"gram{i}": gram for i, gram in enumerate(features.grams)}
    with replacing(cache) as temporary:
        save_file({"deep": features.deep, "content": features.content, **grams}, temporary)
    return features


def measure_stylized(
    files: Sequence[bytes], size: int, model: Path, encoder: MeasuringEncoder, first: int = 0
) -> Stylized:
    """Stylize photographs and measure what came out; or measure as many pictures that are generated.

    Args:
        files: encoded photographs.
        size: pixels a side that they are stylized and measured at.
        model: the model folder.
        encoder: the encoder.
        first: index of the first picture that is generated.
    """
    trained = artifact.load(model)
    photos, generates = center_squares(files, size), trained.config.generates
    started = time.perf_counter()
    stylized = trained.generate(0, range(first, first + len(files))) if generates else trained.painter()(photos)
    seconds = time.perf_counter() - started
    before, after = luminance(photos / 255), luminance(stylized / 255)
    return Stylized(
        features=_features(stylized, encoder),
        luminance=after.numpy(),
        photo_luminance=before.numpy(),
        ssim=None if generates else ssim(before, after).numpy(),
        correlation=None if generates else correlation(before, after).numpy(),
        seconds=seconds,
        lpips=_measure_lpips(photos, stylized, encoder.lpips, not generates)
        if encoder.lpips and size >= SMALLEST
        else None,
    )


def show(files: Sequence[bytes], model: Path, longest: int) -> list[tuple[Pixels, Pixels]]:
    """Pictures for people: whole, in their own proportions, before and after; or beside generated ones.

    Args:
        files: encoded photographs.
        model: the model folder.
        longest: pixels of the longer side at most.
    """
    trained = artifact.load(model)
    if trained.config.generates:
        made = list(trained.generate(0, range(len(files))).permute(0, 2, 3, 1).cpu().numpy())
        return [(center_square(decode(data), len(one)), one) for data, one in zip(files, made, strict=True)]
    paint = trained.painter()
    pairs = []
    for data in files:
        picture = decode(data)
        height, width = picture.shape[:2]
        scale = min(1.0, longest / max(height, width))
        picture = resize(picture, max(1, round(width * scale)), max(1, round(height * scale)))
        batch = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]
        pairs.append((picture, paint(batch)[0].permute(1, 2, 0).numpy()))
    return pairs


def size_of(model: Path) -> dict[str, float]:
    """How many parameters a model has, and how large its file is."""
    trained = artifact.load(model)
    parameters = sum(parameter.numel() for parameter in trained.generator.parameters())
    return {"parameters": parameters, "megabytes": (model / WEIGHTS).stat().st_size / 1e6}


def summarize(
    stylized: Sequence[Stylized], untouched: Sequence[Features], encoder: MeasuringEncoder, bootstrap: Bootstrap
) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """All metrics of a model, from the features of all batches.

    Args:
        stylized: the measured batches of stylized pictures.
        untouched: features of the same photographs, then of the paintings.
        encoder: the encoder that the features are of.
        bootstrap: the resamples of the intervals.

    Returns:
        The metrics as `reports/evaluation.json` holds them, and each picture's SSIM and luminance correlation. Pictures
        that were made from noise have no metrics that compare them with a photograph, and no such pairs.
    """
    n = len(bootstrap.photo_groups)
    features = [*(batch.features for batch in stylized), *untouched]
    metrics, fid = _of_sets(stylized, features, encoder, bootstrap)
    ssims = [batch.ssim for batch in stylized if batch.ssim is not None]
    if not ssims:
        return metrics, []
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
        "kid": {"metric": f"kid_{encoder.name}", **asdict(kid)},
        "frechet": {"metric": fid_name, **_beside(*fid)},
        "style": {"encoder": encoder.name, "independent": encoder.independent, **asdict(style)},
        "diversity": _lpips_diversity(lpips, n) if len(lpips) == len(stylized) else varied,
        "checkerboard": _beside(*grids),
        "speed": {"images_per_second": rate},
    }
    return metrics, fid


@torch.inference_mode()
def _measure_lpips(photos: Tensor, stylized: Tensor, weights: Path, paired: bool) -> LpipsBatch:
    """LPIPS of uint8 (B, 3, S, S); `paired` where each is made from its photograph."""
    network = encoders.load(LPIPS_IN, weights)
    assert isinstance(network, Calibrated)
    before, after = (embed(network, pictures / 255).double() for pictures in (photos, stylized))  # (B, D)
    sums = [(points.sum(0).numpy(), float(points.square().sum())) for points in (after, before)]
    return LpipsBatch((after - before).square().sum(1).float().numpy() if paired else None, *sums)


def _lpips_diversity(batches: Sequence[LpipsBatch], count: int) -> dict[str, Any]:
    """Mean LPIPS of all pairs of `count` pictures, in all batches."""
    varied = []
    for sums in ([batch.stylized for batch in batches], [batch.photos for batch in batches]):
        total = np.sum([points for points, _ in sums], axis=0)
        varied.append(mean_squared_distance(total, sum(squares for _, squares in sums), count))
    return {"metric": f"lpips_{LPIPS_IN}", **_beside(*varied)}


def _lpips_metrics(distances: np.ndarray, weights: np.ndarray, fid: tuple[float, float] | None) -> dict[str, Any]:
    """The measures that LPIPS to the photograph has a part in.

    Args:
        distances: LPIPS of each picture (n,).
        weights: how often each photograph is in each resample, (R, n).
        fid: of the stylized pictures and of the photographs; None where the features are not Inception's.
    """
    mean = float(distances.mean())
    low, high = _interval(distances, weights)
    measures: dict[str, Any] = {"lpips": {"metric": f"lpips_{LPIPS_IN}", "mean": mean, "low": low, "high": high}}
    if fid is not None:
        scores = _beside(artfid(mean, fid[0]), artfid(0.0, fid[1]))
        measures["artfid"] = {"metric": f"lpips_{LPIPS_IN}, fid_inception", **scores}
    return measures


@torch.inference_mode()
def _features(pictures: Tensor, encoder: MeasuringEncoder) -> Features:
    """Features of uint8 (B, 3, S, S)."""
    network = encoders.load(encoder.name, encoder.weights)
    # twice as fast on a CPU with the channels last
    nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    layers: dict[str, Tensor] = network((pictures / 255).contiguous(memory_format=torch.channels_last))
    last = list(layers.values())[-1]
    content = layers[network.content_layer]
    return Features(
        deep=(last.mean(dim=(2, 3)) if last.ndim == 4 else last).numpy(),
        content=F.adaptive_avg_pool2d(content, min(CONTENT_CELLS, *content.shape[-2:])).flatten(1).numpy(),
        grams=tuple(gram_vectors(layers[name].contiguous()).numpy() for name in network.style_layers),
    )


def _beside(stylized: float, photos: float) -> dict[str, float]:
    """A measure beside its baseline."""
    return {"stylized": stylized, "photos": photos, "ratio": stylized / max(photos, 1e-9)}


def _interval(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """2.5 % and 97.5 % of the mean over resampled groups."""
    means = weights @ values / weights.sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
