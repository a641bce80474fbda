"""A worker's part of the memorisation audit: training pictures are embedded, and generated ones compared with them.

Training pictures are the middle squares that models are measured on. What does not depend on the model is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
from atelier.tasks.evaluation.face_embedding import LABEL, distances, embed_faces
from atelier.tasks.evaluation.measures import center_squares
from atelier.tasks.evaluation.protocol import EMBEDDER, LPIPS_IN, AuditSpec, Shown
from atelier.tasks.images.codec import Pixels

BATCH = 64  # pictures of a forward pass
BLOCK = 256  # pictures that are compared at a time
COMPARED = 2000  # training pictures, at most, whose nearest other one says what is near
SHOWN = 12  # generated pictures that are shown beside the nearest training pictures
FEWEST_FACES = 50  # among these; of fewer nothing is said
PERSON_QUANTILE = 0.01  # of the distances of training pictures' faces to the nearest other one


@torch.inference_mode()
def embed_shard(spec: AuditSpec, shard: int) -> np.ndarray:
    """The embeddings of a shard's training pictures, (n, D) float16; kept in the cache with those of their faces."""
    of, worker = spec.shards[shard], Auditor(spec)
    if not of.kept.is_file():
        first = sum(len(before.ids) for before in spec.shards[:shard])
        numbers = range(first, first + len(of.ids))
        points, faces = list[Tensor](), list[np.ndarray]()
        for part in _parts(numbers, BLOCK):
            pictures = worker.training(part)
            points.append(worker.embedded(pictures))
            if spec.faces:
                faces.append(embed_faces(pictures, spec.faces))
        of_faces = {"faces": np.concatenate(faces)} if faces else {}
        _keep(of.kept, {"points": torch.cat(points).half().numpy(), **of_faces})
    kept: np.ndarray = load_file(of.kept)["points"]
    return kept


@torch.inference_mode()
def audit(spec: AuditSpec, model: Path, count: int, points: Sequence[np.ndarray]) -> tuple[dict[str, Any], list[Shown]]:
    """Compare the first pictures that a model generates with the training pictures.

    Args:
        count: of generated pictures.
        points: the embeddings of the training pictures, by shard.

    Returns:
        The metrics as `reports/evaluation.json` holds them; and the generated pictures that are nearest to a training
        picture beside it, the nearest first; where faces are compared, the one with the nearest face too.
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
    persons = worker.persons(made)
    if persons is not None:
        metrics["persons"] = persons.summary()
        shares = np.minimum(shares, persons.distance / persons.limit)
    first = np.argsort(shares, kind="stable")[:SHOWN]
    beside = [oriented(worker.training(found.training[first].tolist()), torch.from_numpy(found.mirrored[first]))]
    if persons is not None:
        beside.append(worker.training(persons.training[first].tolist()))
    shown = [tuple(_shown(one) for one in of) for of in zip(made[first], *beside, strict=True)]
    return metrics, shown


@dataclass(frozen=True)
class Persons:
    """The nearest faces of training pictures."""

    distance: np.ndarray  # (n,) infinite where no face is found
    training: np.ndarray  # (n,) numbers of the training pictures
    limit: float  # nearer are a hundredth of training pictures' faces to another one
    usual: float  # the median of training pictures' faces

    def summary(self) -> dict[str, Any]:
        """As `reports/evaluation.json` holds it."""
        faces = self.distance[np.isfinite(self.distance)]
        of_faces = _summary(faces, self.limit) if len(faces) else {"limit": self.limit}
        return {"encoder": LABEL, "faces": len(faces), **of_faces, "median_of_training": self.usual}


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

    def persons(self, pictures: Tensor) -> Persons | None:
        """The nearest training pictures by their faces; None where faces are not compared, or there are hardly any."""
        if self.spec.faces is None:
            return None
        known = np.concatenate([load_file(shard.kept)["faces"] for shard in self.spec.shards])
        some = [number for number in self._compared if np.isfinite(known[number, 0])]
        if len(some) < FEWEST_FACES:
            return None
        groups = self._groups.numpy()
        between = [
            np.where(groups[part, None] != groups, distances(known[part], known), np.inf).min(1)
            for part in map(list, _parts(some, BLOCK))
        ]
        limit, usual = np.quantile(np.concatenate(between), (PERSON_QUANTILE, 0.5))
        found = distances(embed_faces(pictures, self.spec.faces), known)
        return Persons(found.min(1), found.argmin(1), float(limit), float(usual))

    def between_training(self, known: Tensor) -> Distances:
        """The distances of training pictures to the nearest one of another group, kept in the cache."""
        if not self.spec.kept.is_file():
            groups = self._groups
            parts = [
                self.compared(self.training(part), known, groups[part, None] != groups)
                for part in _parts(self._compared, BLOCK)
            ]
            _keep(self.spec.kept, vars(joined(parts)))
        return Distances(**load_file(self.spec.kept))

    @property
    def _compared(self) -> list[int]:
        """The training pictures whose nearest other one says what is near."""
        some = set(stable_sample(self.ids, COMPARED))
        return [number for number, one in enumerate(self.ids) if one in some]

    @property
    def _groups(self) -> Tensor:
        """The number of each training picture's group; of windows of one picture each is a group."""
        groups = torch.from_numpy(np.unique(self.groups, return_inverse=True)[1])
        return groups if groups.any() else torch.arange(len(groups))


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
