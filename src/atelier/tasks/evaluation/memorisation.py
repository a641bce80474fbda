"""A worker's part of the memorisation audit: training pictures are embedded, and generated ones compared with them.

Training pictures are the middle squares that models are measured on. What does not depend on the model is kept.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from atelier.models import artifact, encoders
from atelier.models.encoders.calibrated import Calibrated
from atelier.models.files import replacing
from atelier.models.metrics.lpips import SMALLEST
from atelier.models.metrics.memorisation import Distances, Limits, candidates, embed, nearest_by_lpips, oriented
from atelier.tasks.dataset.shards import read_pictures
from atelier.tasks.dataset.subsets import stable_sample
from atelier.tasks.evaluation.measures import center_squares
from atelier.tasks.evaluation.protocol import EMBEDDER, LPIPS_IN, AuditSpec
from atelier.tasks.images.codec import Pixels

BATCH = 64  # pictures of a forward pass
BLOCK = 256  # pictures that are compared at a time
COMPARED = 2000  # training pictures, at most, whose nearest other one says what is near
SHOWN = 12  # generated pictures that are shown beside the nearest training pictures

Pair = tuple[Pixels, Pixels]


@torch.inference_mode()
def embed_shard(spec: AuditSpec, shard: int) -> np.ndarray:
    """The embeddings of a shard's training pictures, (n, D) float16, kept in the cache."""
    of, worker = spec.shards[shard], Auditor(spec)
    if not of.kept.is_file():
        first = sum(len(before.ids) for before in spec.shards[:shard])
        numbers = range(first, first + len(of.ids))
        parts = [worker.embedded(worker.training(part)) for part in _parts(numbers, BLOCK)]
        _keep(of.kept, {"points": torch.cat(parts).half().numpy()})
    points: np.ndarray = load_file(of.kept)["points"]
    return points


@torch.inference_mode()
def audit(spec: AuditSpec, model: Path, count: int, points: Sequence[np.ndarray]) -> tuple[dict[str, Any], list[Pair]]:
    """Compare the first pictures that a model generates with the training pictures.

    Args:
        count: of generated pictures.
        points: the embeddings of the training pictures, by shard.

    Returns:
        The metrics as `reports/evaluation.json` holds them; and the generated pictures that are nearest to a training
        picture beside it, the nearest first.
    """
    worker, trained = Auditor(spec), artifact.load(model)
    known = torch.from_numpy(np.concatenate(points)).float()
    limits = Limits.of(worker.between_training(known))
    made = torch.cat([trained.generate(0, part) for part in _parts(range(count), BATCH)])
    found = joined([worker.compared(part, known) for part in torch.split(made, BLOCK)])
    shares = found.shares(limits)
    metrics = {
        "encoder": EMBEDDER,
        "share": float((shares < 1).mean()),
        "pictures": count,
        "training_pictures": len(known),
        "embedding": _summary(found.embedding, limits.embedding),
    }
    if limits.lpips is not None:
        metrics["lpips"] = _summary(found.lpips, limits.lpips)
    first = np.argsort(shares, kind="stable")[:SHOWN]
    beside = oriented(worker.training(found.training[first].tolist()), torch.from_numpy(found.mirrored[first]))
    return metrics, [(_shown(x), _shown(y)) for x, y in zip(made[first], beside, strict=True)]


class Auditor:
    """Compares pictures with training pictures, which it knows by their numbers."""

    def __init__(self, spec: AuditSpec) -> None:
        self.spec = spec
        self.ids = [one for shard in spec.shards for one in shard.ids]
        self.files = [shard.file for shard in spec.shards for _ in shard.ids]
        self.groups = [one for shard in spec.shards for one in shard.groups]
        self.embedder = encoders.load(EMBEDDER, spec.embedder)
        self.lpips = encoders.load(LPIPS_IN, spec.lpips) if spec.lpips and spec.size_px >= SMALLEST else None

    def training(self, numbers: Sequence[int]) -> Tensor:
        """Training pictures, uint8 (n, 3, S, S)."""
        ids, found = [self.ids[number] for number in numbers], dict[str, bytes]()
        for file in {self.files[number] for number in numbers}:
            found |= read_pictures(file, ids)
        return center_squares([found[one] for one in ids], self.spec.size_px)

    def embedded(self, pictures: Tensor) -> Tensor:
        """(n, D) of uint8 (n, 3, S, S)."""
        return torch.cat([embed(self.embedder, part / 255) for part in torch.split(pictures, BATCH)])

    def compared(self, pictures: Tensor, known: Tensor, others: Tensor | None = None) -> Distances:
        """The nearest training pictures of uint8 (n, 3, S, S); `others` as of `candidates`."""
        near = candidates(self.embedded(pictures), self.embedded(pictures.flip(3)), known, others)
        best, distances = torch.zeros(len(pictures), dtype=torch.long), []
        if self.lpips is not None:
            assert isinstance(self.lpips, Calibrated)
            numbers, places = np.unique(near.training.numpy(), return_inverse=True)
            training = self.training(numbers.tolist())
            for row, picture in enumerate(pictures):
                distance, best[row] = nearest_by_lpips(
                    self.lpips, picture, oriented(training[torch.from_numpy(places[row])], near.mirrored[row])
                )
                distances.append(distance)
        chosen = (x.gather(1, best[:, None])[:, 0].numpy() for x in (near.training, near.mirrored))
        return Distances(near.distance.numpy(), np.array(distances, np.float32), *chosen)

    def between_training(self, known: Tensor) -> Distances:
        """The distances of training pictures to the nearest one of another group, kept in the cache."""
        if not self.spec.kept.is_file():
            groups = torch.from_numpy(np.unique(self.groups, return_inverse=True)[1])
            if not groups.any():  # windows of one picture: each is a group
                groups = torch.arange(len(groups))
            some = set(stable_sample(self.ids, COMPARED))
            numbers = [number for number, one in enumerate(self.ids) if one in some]
            parts = [
                self.compared(self.training(part), known, groups[part, None] != groups)
                for part in _parts(numbers, BLOCK)
            ]
            _keep(self.spec.kept, vars(joined(parts)))
        return Distances(**load_file(self.spec.kept))


def _parts(numbers: Sequence[int], size: int) -> list[Sequence[int]]:
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


def joined(parts: Sequence[Distances]) -> Distances:
    """Distances of several parts, one after another."""
    return Distances(*(np.concatenate(of) for of in zip(*(vars(part).values() for part in parts), strict=True)))


def _summary(distances: np.ndarray, limit: float) -> dict[str, float]:
    """What is said of one distance: how many copies it finds, below what, and how near pictures come."""
    near = {"nearest": float(distances.min()), "median": float(np.median(distances))}
    return {"share": float((distances < limit).mean()), "limit": limit, **near}


def _shown(picture: Tensor) -> Pixels:
    return picture.permute(1, 2, 0).cpu().numpy()


def _keep(file: Path, arrays: dict[str, np.ndarray]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as temporary:
        save_file(arrays, temporary)
