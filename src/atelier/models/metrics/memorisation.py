"""Memorisation: whether generated pictures are copies of training pictures.

A picture is a copy where its nearest training picture, as it is or mirrored, is nearer than all but 0.1 % of training
pictures are to their own nearest other one. Nearness is measured twice: by an embedding that keeps what is where, and
by LPIPS among the nearest few by the embedding.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from atelier.models.encoders.base import Encoder
from atelier.models.encoders.calibrated import Calibrated
from atelier.models.metrics.lpips import lpips

QUANTILE = 0.001  # of the distances of training pictures to their nearest other one
CELLS = 8  # an embedding is a grid of at most 8×8 features
CANDIDATES = 4  # nearest by the embedding, of which LPIPS chooses


@dataclass(frozen=True)
class Distances:
    """Distances of n pictures to their nearest training pictures."""

    embedding: NDArray[np.float32]  # (n,) 0…2
    lpips: NDArray[np.float32]  # (n,), or none without the weights of LPIPS
    training: NDArray[np.int64]  # (n,) numbers of the nearest training pictures
    mirrored: NDArray[np.bool_]  # (n,) whether these are so near when they are mirrored

    def shares(self, limits: "Limits") -> NDArray[np.float64]:
        """Distances (n,) as shares of the limits, the smaller of both: below 1 is a copy."""
        parts = [self.embedding / max(limits.embedding, 1e-9)]
        if len(self.lpips) and limits.lpips is not None:
            parts.append(self.lpips / max(limits.lpips, 1e-9))
        shares: NDArray[np.float64] = np.min(parts, axis=0).astype(np.float64)
        return shares


@dataclass(frozen=True)
class Limits:
    """Distances below which a picture is a copy."""

    embedding: float
    lpips: float | None

    @classmethod
    def of(cls, training: Distances) -> "Limits":
        """From the distances of training pictures to their nearest other one."""
        of_lpips = float(np.quantile(training.lpips, QUANTILE)) if len(training.lpips) else None
        return cls(float(np.quantile(training.embedding, QUANTILE)), of_lpips)


@dataclass(frozen=True)
class Candidates:
    """The nearest training pictures of n pictures by the embedding, the nearest first."""

    distance: Tensor  # (n,) to the first
    training: Tensor  # (n, K) their numbers
    mirrored: Tensor  # (n, K) bool


def embed(encoder: Encoder, pictures: Tensor) -> Tensor:
    """Points whose Euclidean distance tells pictures apart: deep features at each place, each of unit length.

    Args:
        pictures: (B, 3, H, W) in [0, 1].

    Returns:
        (B, D) of unit length.
    """
    features = encoder(pictures)[encoder.content_layer].float()
    features = F.adaptive_avg_pool2d(features, (min(CELLS, features.shape[2]), min(CELLS, features.shape[3])))
    return F.normalize(F.normalize(features, dim=1).flatten(1), dim=1)


def candidates(points: Tensor, mirrored: Tensor, training: Tensor, others: Tensor | None = None) -> Candidates:
    """The nearest training pictures by the embedding.

    Args:
        points, mirrored: (n, D), of pictures and of their mirror images.
        training: (m, D).
        others: (n, m) bool, which training pictures count for which picture; None: all.
    """
    alike = torch.cat([points @ training.t(), mirrored @ training.t()], 1)  # (n, 2 m) cosines
    if others is not None:
        alike = alike.masked_fill(~others.repeat(1, 2), -1.0)
    cosine, places = alike.topk(min(CANDIDATES, len(training)), 1)
    distance = (2 - 2 * cosine[:, 0].double()).clamp(min=0).sqrt().float()
    return Candidates(distance, places % len(training), places >= len(training))


def nearest_by_lpips(encoder: Calibrated, picture: Tensor, training: Tensor) -> tuple[float, int]:
    """The smallest LPIPS of a picture (3, H, W) to others (K, 3, H, W), all uint8, and which of them it is."""
    distances = lpips(encoder, picture[None] / 255, training / 255)
    return float(distances.min()), int(distances.argmin())


def oriented(pictures: Tensor, mirrored: Tensor) -> Tensor:
    """Pictures (B, 3, H, W), those mirrored that are said to be (B,)."""
    return torch.where(mirrored[:, None, None, None], pictures.flip(3), pictures)
