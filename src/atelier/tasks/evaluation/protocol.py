"""Protocol of evaluation: its settings, the encoder that measures, the classifier of attributes."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier.models.settings import Settings, setting
from atelier.tasks.dataset.shards import read_card, select
from atelier.tasks.dataset.subsets import Picture
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.detectors import NoDetector, detector_label, packaged
from atelier.tasks.runtime import encoder_weights
from atelier.tasks.workspace.format_versions import EVALUATE

LPIPS_IN = "alexnet"  # as in published scores
MEASURING_ENCODERS = ("inception", "vgg19", "efficientnet_lite0")  # encoders to measure with, best first
EMBEDDER = "efficientnet_lite0"  # of the memorisation audit and the distance of means; it comes with the packages
FACES_BY = "face_recognition_models==0.3.0"  # package with the weights of `face_embedding`
CLASSIFIER = ".classifier"  # ends the file of one
SHOWN_PX = 512  # longer side of the pictures in reports


@dataclass(frozen=True)
class EvaluateConfig(Settings):
    """How a model is measured."""

    pictures: int = setting(120, "held-out pictures of each domain that are measured, at most", ge=2, le=50_000)
    viewed_pictures: int = setting(
        48, "of these, how many are also measured at 256 px and at the dataset's own size, at most; 0: none", ge=0
    )
    batch: int = setting(16, "pictures in one task of a worker", ge=1, le=256)
    resamples: int = setting(1000, "bootstrap resamples of each interval", ge=20, le=100_000)
    audited_pictures: int = setting(
        20_000, "training pictures, at most, that those of a model that generates are compared with", ge=2
    )
    pairs: int = setting(12, "pictures shown before and after in the report", ge=1, le=100)
    seed: int = setting(0, "seed of the resamples", ge=0)


@dataclass(frozen=True)
class MeasuringEncoder:
    """The encoder of the metrics, and LPIPS where its weights are at hand."""

    name: str
    weights: Path
    independent: bool  # it had no part in the loss
    lpips: Path | None = None  # weights of `LPIPS_IN`, None where they are not at hand


@dataclass(frozen=True)
class Bootstrap:
    """The resamples of 95 % intervals: whole groups are drawn, since crops of one parent are not independent."""

    photo_groups: list[str]  # the group of each photograph
    painting_groups: list[str]
    resamples: int
    seed: int


@dataclass(frozen=True)
class ClassifierSpec:
    """What a classifier of attributes is trained on: the training split of some domains."""

    dataset: Path
    domains: tuple[str, ...]
    names: tuple[str, ...]  # of the attributes
    size_px: int  # side of the pictures whose attributes it will predict
    cache: Path  # folder that keeps the classifier from run to run
    seed: int = 0  # of its weights and the order of pictures

    @property
    def file(self) -> Path:
        """Where exactly this classifier is kept."""
        shards = read_card(self.dataset).shards
        learned = {domain: [shard.sha256 for shard in select(shards, domain, "train")] for domain in self.domains}
        seed = [self.seed] if self.seed else []
        return self.cache / f"{cache_key(EVALUATE, self.size_px, self.names, learned, *seed)}{CLASSIFIER}"


Shown = tuple[Pixels, ...]  # a generated picture, the nearest training picture, and that with the nearest face


@dataclass(frozen=True)
class TrainingShard:
    """Training pictures in one shard."""

    file: Path
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    kept: Path  # file that keeps their embeddings, and those of their faces


@dataclass(frozen=True)
class AuditSpec:
    """The training pictures, numbered from shard to shard, and how they are compared."""

    shards: tuple[TrainingShard, ...]
    size_px: int
    embedder: Path  # weights
    lpips: Path | None
    kept: Path  # file that keeps the distances between training pictures
    faces: Path | None  # weights of `face_embedding`

    @property
    def kept_files(self) -> list[Path]:
        """All files that keep what does not depend on the model."""
        return [self.kept, *(shard.kept for shard in self.shards)]


def choose_encoder(*loss_encoders: str) -> MeasuringEncoder:
    """The best encoder at hand that had no part in any loss; where there is none, the best one, marked as dependent.

    Raises:
        FileNotFoundError: no encoder's weights are at hand.
    """
    for name in sorted(MEASURING_ENCODERS, key=lambda name: name in loss_encoders):
        try:
            return MeasuringEncoder(name, encoder_weights.resolve(name), name not in loss_encoders, lpips_weights())
        except FileNotFoundError as error:
            missing = error
    raise missing


def lpips_weights() -> Path | None:
    """The weights of `LPIPS_IN`; None where they are not at hand."""
    try:
        return encoder_weights.resolve(LPIPS_IN)
    except FileNotFoundError:
        return None


def face_weights() -> Path | None:
    """The weights of `face_embedding`; None where they or the detector of faces are not installed."""
    try:
        detector_label("faces")
    except NoDetector:
        return None
    return packaged(FACES_BY.partition("==")[0], "models/dlib_face_recognition_resnet_model_v1.dat")


def remove_stale(cache: Path, kept: Iterable[Path]) -> None:
    """Remove features and classifiers from a cache folder but those that are named."""
    for stale in {*cache.glob("*.safetensors"), *cache.glob(f"*{CLASSIFIER}")} - set(kept):
        stale.unlink(missing_ok=True)


def cache_name(batch: Sequence[Picture], size: int, encoder: MeasuringEncoder) -> str:
    """The file of the features of exactly these pictures, at this size, in this encoder."""
    return f"{cache_key(EVALUATE, encoder.name, size, [p.id for p in batch])}.safetensors"


def cache_key(*decides: Any) -> str:
    """A name of what is decided by some JSON values alone."""
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:24]
