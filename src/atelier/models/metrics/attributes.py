"""Whether edited images show the requested attributes, by a classifier that took no part in training.

As Choi et al. 2018, section 5.5 and table 3, measure StarGAN: a classifier is trained on the real training split, its
accuracy on real pictures that it has not seen says how far it can be trusted, and then it predicts what
edited ones show.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from atelier.models.networks.classifier import Classifier
from atelier.models.pixels import to_float

Truth = NDArray[np.bool_]  # (N, A)

_TOGETHER = 256  # images of a classified batch
_SHIFT = 1 / 16  # of the side, at most: what training pictures are moved by


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of the classifier for one attribute, on held-out images."""

    accuracy: float  # 0…1
    balanced: float  # mean of that among those that have it and those that have not: ½ is guessing
    share: float  # of the pictures that have it


@dataclass(frozen=True)
class Success:
    """What became of one attribute, among pictures in which it should change."""

    share: float  # that show it as it was asked for
    pictures: int
    groups: dict[str, tuple[float, int]]  # the same by what the pictures had: "Male" and "-Male"; share and pictures


def learn(
    pictures: Tensor, labels: Tensor, *, filters: int = 24, epochs: int = 12, batch: int = 64, seed: int = 0
) -> Classifier:
    """Train a classifier; equal arguments give an equal one on the same machine.

    Args:
        pictures: uint8 (N, 3, H, W), of the training split, as the classifier will see edited ones.
        labels: (N, A), 0 or 1.
        epochs: passes over the pictures, mirrored half of the time and moved a little.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = Classifier(labels.shape[1], filters)
    random = np.random.default_rng(seed)
    steps = epochs * -(-len(pictures) // batch)
    optimizer = torch.optim.AdamW(classifier.parameters(), 2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in np.array_split(random.permutation(len(pictures)), -(-len(pictures) // batch)):
            x = _moved(to_float(pictures[torch.from_numpy(rows)], torch.device("cpu")), random)
            loss = F.binary_cross_entropy_with_logits(classifier(x), labels[torch.from_numpy(rows)].float())
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    return classifier.eval().requires_grad_(False)


def _moved(x: Tensor, random: np.random.Generator) -> Tensor:
    """All of a batch mirrored or not and moved by a few pixels: enough against learning by heart."""
    if random.random() < 0.5:
        x = x.flip(3)
    most = max(1, int(x.shape[2] * _SHIFT))
    down, right = random.integers(0, 2 * most + 1, 2).tolist()
    padded = F.pad(x, (most,) * 4, mode="replicate")
    return padded[:, :, down : down + x.shape[2], right : right + x.shape[3]]


@torch.inference_mode()
def predict(classifier: Classifier, pictures: Tensor) -> Truth:
    """Which attributes uint8 pictures (N, 3, H, W) show."""
    parts = [classifier(to_float(part, torch.device("cpu"))) > 0 for part in torch.split(pictures, _TOGETHER)]
    return np.asarray(torch.cat(parts).numpy(), dtype=np.bool_)


def accuracies(predicted: Truth, labels: Truth, names: Sequence[str]) -> dict[str, Accuracy]:
    """Accuracy of the classifier for each attribute.

    Args:
        predicted: (N, A), of real pictures that the classifier has not seen.
        labels: (N, A), the truth.
    """
    found = {}
    for name, said, true in zip(names, predicted.T, labels.T, strict=True):
        right = said == true
        sides = [float(right[side].mean()) for side in (true, ~true) if side.any()]
        found[name] = Accuracy(float(right.mean()), sum(sides) / len(sides), float(true.mean()))
    return found


def successes(predicted: Truth, wanted: Truth, had: Truth, names: Sequence[str]) -> dict[str, Success]:
    """How often each attribute came out as it was asked for, among pictures in which it had to change.

    Args:
        predicted: (N, A), of the edited pictures.
        wanted: (N, A), what they should show.
        had: (N, A), what the pictures that they were made from showed.

    Returns:
        By name; attributes that had to change in no picture are left out.
    """
    found = {}
    for index, name in enumerate(names):
        rows = wanted[:, index] != had[:, index]
        if rows.any():
            hits = predicted[rows, index] == wanted[rows, index]
            found[name] = Success(float(hits.mean()), int(rows.sum()), by_group(hits, had[rows], names))
    return found


def by_group(hits: NDArray[np.bool_], had: Truth, names: Sequence[str]) -> dict[str, tuple[float, int]]:
    """The share of hits (N,), and number, of pictures that have each attribute and that have not, by `had` (N, A)."""
    groups = {}
    for index, name in enumerate(names):
        for group, member in ((name, had[:, index]), (f"-{name}", ~had[:, index])):
            if member.any():
                groups[group] = (float(hits[member].mean()), int(member.sum()))
    return groups
