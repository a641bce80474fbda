"""A worker's part of evaluation: one batch of pictures is stylized, and features and per-picture metrics are computed.

Pictures of every kind go through the same steps: the middle square, resized to the training size, then the encoder with
whatever resizing is its own.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models import artifact, encoders
from atelier.models.card import WEIGHTS
from atelier.models.encoders.calibrated import Calibrated
from atelier.models.files import replacing
from atelier.models.metrics.gram import gram_vectors
from atelier.models.metrics.inversion import correlation
from atelier.models.metrics.lpips import SMALLEST, embed
from atelier.models.metrics.path_length import path_lengths
from atelier.models.metrics.psnr import psnr
from atelier.models.metrics.repetition import repetition
from atelier.models.metrics.ssim import ssim
from atelier.models.pixels import luminance, upscaled
from atelier.models.random_draws import uniform
from atelier.tasks.evaluation.protocol import LPIPS_IN, MeasuringEncoder
from atelier.tasks.images.codec import Pixels, center_square, decode, resize, scaled

PLACES = 1  # salt of the places at which path lengths are measured
CONTENT_CELLS = 8  # deep features are kept on a grid of at most 8×8: enough to see objects move, small enough to keep


@dataclass(frozen=True)
class Features:
    """The features of a batch."""

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
    """Features and metrics of a batch of stylized pictures."""

    features: Features
    luminance: np.ndarray  # (B, 1, S, S) float32 in [0, 1]
    photo_luminance: np.ndarray  # as luminance, of the photographs
    ssim: np.ndarray | None  # (B,); None of pictures that were made from noise
    correlation: np.ndarray | None  # (B,), the same
    repetition: np.ndarray | None  # (B,), the same; NaN of a picture without plain areas
    seconds: float  # to stylize the batch
    lpips: LpipsBatch | None = None  # None without weights of LPIPS, or where pictures are too small for it
    path_lengths: np.ndarray | None = None  # (B,), of pictures from noise, where there is LPIPS
    psnr: np.ndarray | None = None  # (2, B), dB, of restored pictures and of what they were restored from


def center_squares(files: Sequence[bytes], size: int) -> Tensor:
    """The middle squares of encoded pictures, uint8 (B, 3, size, size)."""
    return torch.from_numpy(np.stack([center_square(decode(data), size) for data in files])).permute(0, 3, 1, 2)


def measure_real(files: Sequence[bytes], size: int, encoder: MeasuringEncoder, cache: Path) -> Features:
    """Features of untouched pictures of `size` pixels a side, kept in `cache`, a safetensors file of exactly these."""
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
    """Stylize photographs at `size` pixels a side and measure them; or generate as many, from number `first` on.

    A model that restores gets them degraded.
    """
    trained = artifact.load(model)
    photos, generates = center_squares(files, size), trained.config.generates
    given = photos if generates else trained.inputs(photos, first)
    started = time.perf_counter()
    stylized = trained.generate(0, range(first, first + len(files))) if generates else trained.painter()(given)
    seconds = time.perf_counter() - started
    before, after = luminance(photos / 255), luminance(stylized / 255)
    return Stylized(
        features=_features(stylized, encoder),
        luminance=after.numpy(),
        photo_luminance=before.numpy(),
        ssim=None if generates else ssim(before, after).numpy(),
        correlation=None if generates else correlation(before, after).numpy(),
        repetition=None if generates else repetition(photos / 255, stylized / 255).numpy(),
        seconds=seconds,
        lpips=_measure_lpips(photos, stylized, encoder.lpips, not generates)
        if encoder.lpips and size >= SMALLEST
        else None,
        path_lengths=_path_lengths(trained, range(first, first + len(files)), encoder.lpips)
        if generates and encoder.lpips and size >= SMALLEST
        else None,
        psnr=_measure_psnr(photos, given, stylized) if trained.config.restores else None,
    )


def show(files: Sequence[bytes], model: Path, longest: int) -> list[tuple[Pixels, Pixels]]:
    """Whole pictures for people, of `longest` pixels at most, before and after; or beside generated ones."""
    trained = artifact.load(model)
    if trained.config.generates:
        made = list(trained.generate(0, range(len(files))).permute(0, 2, 3, 1).cpu().numpy())
        return [(center_square(decode(data), len(one)), one) for data, one in zip(files, made, strict=True)]
    paint = trained.painter()
    pairs = []
    for number, data in enumerate(files):
        picture = decode(data)
        picture = scaled(picture, min(1.0, longest / max(picture.shape[:2])))
        batch = trained.inputs(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None], number)
        before, after = (x[0].permute(1, 2, 0).numpy() for x in (batch, paint(batch)))
        pairs.append((resize(before, after.shape[1], after.shape[0]), after))
    return pairs


def size_of(model: Path) -> dict[str, float]:
    """How many parameters a model has, and how large its file is."""
    trained = artifact.load(model)
    parameters = sum(parameter.numel() for parameter in trained.generator.parameters())
    return {"parameters": parameters, "megabytes": (model / WEIGHTS).stat().st_size / 1e6}


@torch.inference_mode()
def _measure_lpips(photos: Tensor, stylized: Tensor, weights: Path, paired: bool) -> LpipsBatch:
    """LPIPS of uint8 (B, 3, S, S); `paired` where each is made from its photograph."""
    network = encoders.load(LPIPS_IN, weights)
    assert isinstance(network, Calibrated)
    before, after = (embed(network, pictures / 255).double() for pictures in (photos, stylized))  # (B, D)
    sums = [(points.sum(0).numpy(), float(points.square().sum())) for points in (after, before)]
    return LpipsBatch((after - before).square().sum(1).float().numpy() if paired else None, *sums)


@torch.inference_mode()
def _path_lengths(trained: artifact.TrainedModel, numbers: range, weights: Path) -> np.ndarray:
    """Perceptual path lengths between generated pictures and as many others, (B,)."""
    network, codes = encoders.load(LPIPS_IN, weights), len(trained.config.codes)
    assert isinstance(network, Calibrated)
    first, last = (trained.noise(seed, numbers) for seed in (0, 1))
    last[:, :codes] = first[:, :codes]
    ends = trained.latents(first), trained.latents(last)
    places = uniform(0, 0, numbers.start, len(numbers), 1, PLACES)[:, 0]
    lengths: np.ndarray = path_lengths(trained.synthesize, network, ends, places, codes).numpy()
    return lengths


def _measure_psnr(photos: Tensor, given: Tensor, restored: Tensor) -> np.ndarray:
    """See `Stylized.psnr`; uint8 (B, 3, S, S), what was given perhaps smaller: it is enlarged."""
    before = upscaled(given, photos.shape[2] // given.shape[2])
    return torch.stack([psnr(x / 255, photos / 255) for x in (restored, before)]).numpy()


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
