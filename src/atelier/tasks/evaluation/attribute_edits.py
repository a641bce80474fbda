"""Edits: what a worker does to see whether a model gives the attributes that it is asked for.

The classifier that tells them learns from real training pictures and has no part in any model's training; what it is
right about among real held-out pictures is told beside what it says of edited ones: see `models.metrics.attributes`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional as F

from atelier.models import artifact, encoders
from atelier.models.controls import Controls
from atelier.models.encoders.calibrated import Calibrated
from atelier.models.methods.stargan import StarganConfig
from atelier.models.metrics import attributes as metric
from atelier.models.metrics.attributes import Truth
from atelier.models.metrics.diversity import mean_squared_distance
from atelier.models.metrics.lpips import SMALLEST, embed
from atelier.models.networks.classifier import SEEN_PX, Classifier
from atelier.tasks.dataset.labels import labels
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.dataset.subsets import Picture, batches, files, learned
from atelier.tasks.evaluation.measures import squares
from atelier.tasks.evaluation.protocol import LPIPS_IN, ClassifierSpec
from atelier.tasks.runtime.files import write

LEARNED = 5000  # training pictures of a domain at most: two minutes of a core
FILTERS = 24  # channels of the classifier's first layer

_TOGETHER = 256  # pictures that are decoded at once


@dataclass(frozen=True)
class Judge:
    """A classifier, and what it says of real held-out pictures."""

    classifier: Classifier
    names: tuple[str, ...]  # A attributes
    truth: Truth  # (N, A): what these pictures have; the photographs come first
    told: Truth  # (N, A): what the classifier says


@dataclass(frozen=True)
class Seen:
    """What LPIPS says of a batch."""

    distances: dict[str, NDArray[np.float64]]  # by wish, (B,): from each photograph to what became of it
    points: NDArray[np.float64]  # (D,): sum of the photographs' points, whose squared distances are LPIPS
    squares: float  # sum of their squared norms


@dataclass(frozen=True)
class Edited:
    """What became of a batch of photographs."""

    told: dict[str, Truth]  # by wish, (B, A): what the classifier says of the edited pictures
    seen: Seen | None  # None where LPIPS cannot be had


def learn(spec: ClassifierSpec) -> Classifier:
    """The classifier of a spec, read from its file when that is there."""
    if spec.file.is_file():
        classifier = Classifier(len(spec.names), FILTERS)
        classifier.load_state_dict(load_file(spec.file))
        return classifier.eval().requires_grad_(False)
    card = read_card(spec.dataset)
    pictures, truth = [], []
    for domain in spec.domains:
        for shard in learned(spec.dataset, card, domain, LEARNED):
            pictures += [_small(squares(files(part), spec.size)) for part in batches(shard, _TOGETHER)]
            truth.append(labels((picture.attributes for picture in shard), spec.names, domain))
    classifier = metric.learn(torch.cat(pictures), torch.from_numpy(np.concatenate(truth)), filters=FILTERS)
    write(spec.file, save(classifier.state_dict()))
    return classifier


def judge(spec: ClassifierSpec, held: Mapping[str, Sequence[Picture]]) -> Judge:
    """Learn, and tell the attributes of held-out pictures.

    Args:
        spec: what the classifier learns.
        held: held-out pictures by their domain, those that will be edited first.
    """
    classifier = learn(spec)
    truth = [labels((picture.attributes for picture in of), spec.names, domain) for domain, of in held.items()]
    told = [
        metric.tell(classifier, squares(files(part), spec.size))
        for of in held.values()
        for part in batches(list(of), _TOGETHER)
    ]
    return Judge(classifier, spec.names, np.concatenate(truth) > 0, np.concatenate(told))


def edit(photos: Sequence[bytes], size: int, model: Path, by: Judge, lpips: Path | None) -> Edited:
    """Give photographs each attribute, take each away that may be absent, and tell what they show then.

    Args:
        photos: encoded.
        size: pixels a side that they are edited and told at.
        model: the model folder, of a method that gives attributes.
        by: who tells.
        lpips: weights of `LPIPS_IN`, None where they are not at hand.
    """
    trained = artifact.load(model)
    assert isinstance(trained.config, StarganConfig)
    before = squares(photos, size)
    edited = {wish: trained.painter(Controls(to=(wish,)))(before) for wish in wishes(trained.config)}
    told = {wish: metric.tell(by.classifier, pictures) for wish, pictures in edited.items()}
    return Edited(told, _seen(before, edited, lpips) if lpips and size >= SMALLEST else None)


def wishes(config: StarganConfig) -> list[str]:
    """Every wish for one attribute, as `Controls.to` has them: an exclusive one is only taken by giving another."""
    return [*config.attributes, *(f"-{name}" for name in config.attributes if name not in config.exclusive)]


def summarize(by: Judge, edited: Sequence[Edited]) -> dict[str, Any]:
    """How often each wish came true.

    Args:
        by: who told.
        edited: all photographs, in the order of the judge's truth.

    Returns:
        "attributes" as `reports/evaluation.json` holds it. An attribute is left out that all or none of the held-out
        pictures have, since nobody knows then whether the classifier tells it; without any there is nothing.
    """
    accuracies = metric.accuracies(by.told, by.truth, by.names)
    trusted = {name: asdict(accuracy) for name, accuracy in accuracies.items() if 0 < accuracy.share < 1}
    told = {wish: np.concatenate([batch.told[wish] for batch in edited]) for wish in edited[0].told}
    seen = [batch.seen for batch in edited if batch.seen]
    count = len(next(iter(told.values())))  # the photographs
    had, before = by.truth[:count], by.told[:count]
    found: dict[str, dict[str, Any]] = {}
    for wish, after in told.items():
        name = wish.removeprefix("-")
        index = by.names.index(name)
        wanted = had.copy()
        wanted[:, index] = name == wish
        success = metric.successes(after, wanted, had, by.names).get(name)
        if name not in trusted or success is None:
            continue
        found[wish] = {
            "share": success.share,
            "photos": metric.successes(before, wanted, had, by.names)[name].share,
            "pictures": success.pictures,
            "groups": {group: {"share": share, "pictures": n} for group, (share, n) in success.groups.items()},
        }
        if seen:
            distances = np.concatenate([batch.distances[wish] for batch in seen])
            found[wish]["lpips"] = float(distances[wanted[:, index] != had[:, index]].mean())
    if not found:
        return {}
    measures: dict[str, Any] = {key: fmean(one[key] for one in found.values()) for key in ("share", "photos")}
    if seen:
        different = mean_squared_distance(
            np.sum([batch.points for batch in seen], axis=0), sum(batch.squares for batch in seen), count
        )
        mean = fmean(one["lpips"] for one in found.values())
        measures["lpips"] = {"metric": f"lpips_{LPIPS_IN}", "mean": mean, "different": different}
    return {"attributes": {**measures, "classifier": trusted, "wishes": found}}


@torch.inference_mode()
def _seen(before: Tensor, edited: Mapping[str, Tensor], weights: Path) -> Seen:
    encoder = encoders.load(LPIPS_IN, weights)
    assert isinstance(encoder, Calibrated)
    points = embed(encoder, before / 255).double()  # (B, D)
    distances = {
        wish: (embed(encoder, pictures / 255).double() - points).square().sum(1).numpy()
        for wish, pictures in edited.items()
    }
    return Seen(distances, points.sum(0).numpy(), float(points.square().sum()))


def _small(pictures: Tensor) -> Tensor:
    """Pictures as the classifier sees them, so that many can be kept: uint8 (B, 3, S, S), S of `SEEN_PX` at most."""
    if pictures.shape[-1] <= SEEN_PX:
        return pictures
    return F.interpolate(pictures.float(), (SEEN_PX, SEEN_PX), mode="bilinear", antialias=True).round().byte()
