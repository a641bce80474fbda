"""Attribute edits: a worker's part in measuring whether a model gives the attributes that it is asked for.

The classifier that recognises them is trained on real pictures of the training split and has no part in any model's
training. Its accuracy on real held-out pictures stands beside what it finds in edited ones: see
`models.metrics.attributes`.
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
from atelier.models.configs.edit import EditConfig
from atelier.models.configs.translation import StarganConfig
from atelier.models.controls import Controls
from atelier.models.encoders.calibrated import Calibrated
from atelier.models.metrics import attributes as metric
from atelier.models.metrics.attributes import Truth
from atelier.models.metrics.diversity import mean_squared_distance
from atelier.models.metrics.lpips import SMALLEST, embed
from atelier.models.networks.classifier import SEEN_PX, Classifier
from atelier.tasks.dataset.labels import labels_of
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.dataset.subsets import Picture, batches, files, training_pictures
from atelier.tasks.evaluation.measures import center_squares
from atelier.tasks.evaluation.protocol import LPIPS_IN, ClassifierSpec
from atelier.tasks.runtime.files import write

TRAINED_ON = 5000  # training pictures of a domain at most: two minutes of a core
FILTERS = 24  # channels of the classifier's first layer

_TOGETHER = 256  # pictures that are decoded at once


@dataclass(frozen=True)
class Recognised:
    """A classifier, and the attributes of real held-out pictures: true and predicted."""

    classifier: Classifier
    names: tuple[str, ...]  # A attributes
    truth: Truth  # (N, A); the photographs come first
    predicted: Truth  # (N, A)


@dataclass(frozen=True)
class LpipsBatch:
    """LPIPS of a batch of edits."""

    distances: dict[str, NDArray[np.float64]]  # by edit, (B,): from each photograph to its edited picture
    points: NDArray[np.float64]  # (D,): sum of the photographs' points, whose squared distances are LPIPS
    squares: float  # sum of their squared norms


@dataclass(frozen=True)
class Edited:
    """A batch of photographs after each edit."""

    predicted: dict[str, Truth]  # by edit, (B, A): attributes of the edited pictures
    lpips: LpipsBatch | None  # None without weights of LPIPS


def train_classifier(spec: ClassifierSpec) -> Classifier:
    """The classifier of attributes, read from its file when that is there, and kept there otherwise."""
    if spec.file.is_file():
        classifier = Classifier(len(spec.names), FILTERS)
        classifier.load_state_dict(load_file(spec.file))
        return classifier.eval().requires_grad_(False)
    card = read_card(spec.dataset)
    pictures, truth = [], []
    for domain in spec.domains:
        for shard in training_pictures(spec.dataset, card, domain, TRAINED_ON):
            pictures += [_small(center_squares(files(part), spec.size_px)) for part in batches(shard, _TOGETHER)]
            truth.append(labels_of((picture.attributes for picture in shard), spec.names, domain))
    labels = torch.from_numpy(np.concatenate(truth))
    classifier = metric.learn(torch.cat(pictures), labels, filters=FILTERS, seed=spec.seed)
    write(spec.file, save(classifier.state_dict()))
    return classifier


def recognise(spec: ClassifierSpec, held_out: Mapping[str, Sequence[Picture]]) -> Recognised:
    """Train the classifier and predict the attributes of held-out pictures, those that will be edited first."""
    classifier = train_classifier(spec)
    truth = [labels_of((picture.attributes for picture in of), spec.names, domain) for domain, of in held_out.items()]
    predicted = [
        metric.predict(classifier, center_squares(files(part), spec.size_px))
        for of in held_out.values()
        for part in batches(of, _TOGETHER)
    ]
    return Recognised(classifier, spec.names, np.concatenate(truth) > 0, np.concatenate(predicted))


def edit_photos(photos: Sequence[bytes], size_px: int, model: Path, real: Recognised, lpips: Path | None) -> Edited:
    """Give photographs each attribute, take away each that may be absent, and predict the attributes then.

    Args:
        size_px: side that they are edited and classified at.
        lpips: weights of `LPIPS_IN`, None where they are not at hand.
    """
    trained = artifact.load(model)
    assert isinstance(trained.config, StarganConfig | EditConfig)
    before = center_squares(photos, size_px)
    edited = {edit: trained.painter(Controls(to=(edit,)))(before) for edit in single_edits(trained.config)}
    predicted = {edit: metric.predict(real.classifier, pictures) for edit, pictures in edited.items()}
    return Edited(predicted, _measure_lpips(before, edited, lpips) if lpips and size_px >= SMALLEST else None)


def single_edits(config: StarganConfig | EditConfig) -> list[str]:
    """Every edit of one attribute, as `Controls.to` has them: an exclusive one is only removed by giving another."""
    return [*config.attributes, *(f"-{name}" for name in config.attributes if name not in config.exclusive)]


def summarize(real: Recognised, batches: Sequence[Edited]) -> dict[str, Any]:
    """How often each edit succeeded.

    Args:
        batches: all photographs after each edit, in the order of `real.truth`.

    Returns:
        "attributes" as `reports/evaluation.json` holds it. An attribute is left out that all or none of the held-out
        pictures have, since nobody knows then whether the classifier recognises it; without any there is nothing.
    """
    accuracies = metric.accuracies(real.predicted, real.truth, real.names)
    trusted = {name: asdict(accuracy) for name, accuracy in accuracies.items() if 0 < accuracy.share < 1}
    predicted = {edit: np.concatenate([batch.predicted[edit] for batch in batches]) for edit in batches[0].predicted}
    lpips = [batch.lpips for batch in batches if batch.lpips]
    count = len(next(iter(predicted.values())))  # the photographs
    had, before = real.truth[:count], real.predicted[:count]
    found: dict[str, dict[str, Any]] = {}
    for edit, after in predicted.items():
        name = edit.removeprefix("-")
        index = real.names.index(name)
        wanted = had.copy()
        wanted[:, index] = name == edit
        success = metric.successes(after, wanted, had, real.names).get(name)
        if name not in trusted or success is None:
            continue
        found[edit] = {
            "share": success.share,
            "photos": metric.successes(before, wanted, had, real.names)[name].share,
            "pictures": success.pictures,
            "groups": {group: {"share": share, "pictures": n} for group, (share, n) in success.groups.items()},
        }
        if lpips:
            distances = np.concatenate([batch.distances[edit] for batch in lpips])
            found[edit]["lpips"] = float(distances[wanted[:, index] != had[:, index]].mean())
    if not found:
        return {}
    metrics: dict[str, Any] = {key: fmean(one[key] for one in found.values()) for key in ("share", "photos")}
    if lpips:
        points, squares = np.sum([batch.points for batch in lpips], axis=0), sum(batch.squares for batch in lpips)
        mean, different = fmean(one["lpips"] for one in found.values()), mean_squared_distance(points, squares, count)
        metrics["lpips"] = {"metric": f"lpips_{LPIPS_IN}", "mean": mean, "different": different}
    return {"attributes": {**metrics, "classifier": trusted, "wishes": found}}


@torch.inference_mode()
def _measure_lpips(before: Tensor, edited: Mapping[str, Tensor], weights: Path) -> LpipsBatch:
    encoder = encoders.load(LPIPS_IN, weights)
    assert isinstance(encoder, Calibrated)
    points = embed(encoder, before / 255).double()  # (B, D)
    distances = {
        edit: (embed(encoder, pictures / 255).double() - points).square().sum(1).numpy()
        for edit, pictures in edited.items()
    }
    return LpipsBatch(distances, points.sum(0).numpy(), float(points.square().sum()))


def _small(pictures: Tensor) -> Tensor:
    """Pictures as the classifier sees them, so that many can be kept: uint8 (B, 3, S, S), S of `SEEN_PX` at most."""
    if pictures.shape[-1] <= SEEN_PX:
        return pictures
    return F.interpolate(pictures.float(), (SEEN_PX, SEEN_PX), mode="bilinear", antialias=True).round().byte()
