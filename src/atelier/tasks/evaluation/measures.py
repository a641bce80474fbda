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
from atelier.tasks.evaluation.protocol import LPIPS_IN, MeasuringEncoder
from atelier.tasks.images.codec import Pixels, center_square, decode, resize

CONTENT_CELLS = 8  # deep features are kept on a grid of at most 8×8: enough to see things move, small enough to keep


@dataclass(frozen=True)
class Features:
    """What is kept of a batch's features."""

    deep: np.ndarray  # (B, D) float32: the last features, averaged over the picture
    content: np.ndarray  # (B, D') float32: the content layer on a coarse grid
    grams: tuple[np.ndarray, ...]  # (B, D'') float32 for each style layer


@dataclass(frozen=True)
class Seen:
    """What LPIPS says of a batch."""

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
    seen: Seen | None = None  # None where LPIPS cannot be had


def squares(files: Sequence[bytes], size: int) -> Tensor:
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
    features = _features(squares(files, size), encoder)
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
    photos, generates = squares(files, size), trained.method.generates
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
        seen=_seen(photos, stylized, encoder.lpips, not generates) if encoder.lpips and size >= SMALLEST else None,
    )


def show(files: Sequence[bytes], model: Path, longest: int) -> list[tuple[Pixels, Pixels]]:
    """Pictures for people: whole, in their own proportions, before and after; or beside generated ones.

    Args:
        files: encoded photographs.
        model: the model folder.
        longest: pixels of the longer side at most.
    """
    trained = artifact.load(model)
    if trained.method.generates:
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
    stylized: Sequence[Stylized],
    untouched: Sequence[Features],
    photo_groups: list[str],
    painting_groups: list[str],
    encoder: MeasuringEncoder,
    resamples: int,
    seed: int,
) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """All measures of a model, from the features of all batches.

    Args:
        stylized: the measured batches of stylized pictures.
        untouched: features of the same photographs, then of the paintings.
        photo_groups: the group of each photograph, in the batches' order.
        painting_groups: the group of each painting.
        encoder: the encoder that the features are of.
        resamples: bootstrap resamples of each interval.
        seed: of the resamples.

    Returns:
        The measures by name, as `reports/evaluation.json` holds them, and each picture's SSIM and correlation; without
        those that need the picture before, and with no pairs, where pictures were made from noise.
    """
    n = len(photo_groups)
    features = [*(batch.features for batch in stylized), *untouched]
    deep = np.concatenate([part.deep for part in features]).astype(np.float64)  # (2n + m, D), paintings last
    grams = [np.concatenate(layer) for layer in zip(*(part.grams for part in features), strict=True)]
    groups = (photo_groups, painting_groups, resamples, seed)
    kid = compare(polynomial_kernel(deep, deep), *groups)
    style = compare(style_kernel(grams, slice(2 * n, None)), *groups)
    fid = frechet(deep[:n], deep[2 * n :]), frechet(deep[n : 2 * n], deep[2 * n :])
    varied = {"metric": f"distance_{encoder.name}", **_beside(diversity(deep[:n]), diversity(deep[n : 2 * n]))}
    grids = [
        checkerboard(torch.from_numpy(np.concatenate([getattr(batch, name) for batch in stylized])))
        for name in ("luminance", "photo_luminance")
    ]
    measured_in = {"encoder": encoder.name, "independent": encoder.independent}
    measures = {
        "kid": {"metric": f"kid_{encoder.name}", **asdict(kid)},
        "frechet": {
            # only Inception's features make it the Fréchet Inception Distance
            "metric": "fid_inception" if encoder.name == "inception" else f"frechet_{encoder.name}",
            **_beside(*fid),
        },
        "style": {**measured_in, **asdict(style)},
        "diversity": varied,
        "checkerboard": _beside(*grids),
        # a whole batch in its median pass: the first one also pays for warming up
        "speed": {"images_per_second": float(np.median([len(batch.luminance) / batch.seconds for batch in stylized]))},
    }
    seen = [batch.seen for batch in stylized if batch.seen]
    if len(seen) == len(stylized):
        measures["diversity"] = _diversity(seen, n)
    ssims = [batch.ssim for batch in stylized if batch.ssim is not None]
    if not ssims:
        return measures, []
    similarity = np.concatenate(ssims)
    correlations = np.concatenate([batch.correlation for batch in stylized if batch.correlation is not None])
    content = np.concatenate([part.content for part in features[: 2 * len(stylized)]]).astype(np.float64)
    kept, unrelated = content_distances(content[n:], content[:n], photo_groups)
    weights = group_weights(photo_groups, resamples, np.random.default_rng(seed))
    low, high = _interval(similarity, weights)
    content_low, content_high = _interval(kept, weights)
    measures |= {
        "content": {
            **measured_in,
            **_beside(float(kept.mean()), unrelated),
            "ratio_low": content_low / unrelated,
            "ratio_high": content_high / unrelated,
        },
        "ssim": {"mean": float(similarity.mean()), "low": low, "high": high, "worst": float(similarity.min())},
        "inversion": {"share": float((correlations < INVERTED).mean()), "correlation": float(correlations.mean())},
    }
    if distances := [batch.distances for batch in seen if batch.distances is not None]:
        measures |= _by_sight(
            np.concatenate(distances).astype(np.float64), weights, fid if encoder.name == "inception" else None
        )
    return measures, list(zip(similarity.tolist(), correlations.tolist(), strict=True))


@torch.inference_mode()
def _seen(photos: Tensor, stylized: Tensor, weights: Path, paired: bool) -> Seen:
    """LPIPS of uint8 (B, 3, S, S); `paired` where each is made from its photograph."""
    network = encoders.load(LPIPS_IN, weights)
    assert isinstance(network, Calibrated)
    before, after = (embed(network, pictures / 255).double() for pictures in (photos, stylized))  # (B, D)
    sums = [(points.sum(0).numpy(), float(points.square().sum())) for points in (after, before)]
    return Seen((after - before).square().sum(1).float().numpy() if paired else None, *sums)


def _diversity(seen: Sequence[Seen], count: int) -> dict[str, Any]:
    """Mean LPIPS of all pairs of `count` pictures, in all batches."""
    varied = []
    for sums in ([batch.stylized for batch in seen], [batch.photos for batch in seen]):
        total = np.sum([points for points, _ in sums], axis=0)
        varied.append(mean_squared_distance(total, sum(squares for _, squares in sums), count))
    return {"metric": f"lpips_{LPIPS_IN}", **_beside(*varied)}


def _by_sight(distances: np.ndarray, weights: np.ndarray, fid: tuple[float, float] | None) -> dict[str, Any]:
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
