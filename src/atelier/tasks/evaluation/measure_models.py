"""The driver of all measurements: Ray tasks, one a batch, that measure one, two or n models on the same pictures.

Evaluation, cross-validation, the paired comparison and the comparison of many models all use it; Ray must be connected.
Results stay on the cluster as object references until they are summarized. The process that submits tasks needs no
torch: workers import it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier.tasks.dataset.subsets import MANY_GROUPS, Picture, batches, files
from atelier.tasks.evaluation.metric_catalogue import rounded
from atelier.tasks.evaluation.protocol import (
    Bootstrap,
    ClassifierSpec,
    EvaluateConfig,
    MeasuringEncoder,
    cache_name,
)
from atelier.tasks.images.codec import Pixels
from atelier.tasks.runtime import cluster
from atelier.tasks.runtime.progress import Progress, Report, silent

Ref = Any  # reference to an object on the cluster


@dataclass(frozen=True)
class Measurement:
    """The pictures that models are measured on, and how: the same for all models that are compared."""

    config: EvaluateConfig
    photos: Sequence[Picture]  # of the content domain; these are stylized
    paintings: Sequence[Picture]  # of the style domain
    size_px: int  # side that all are measured at
    encoder: MeasuringEncoder
    cache: Path  # folder that keeps the features of untouched pictures, visible to every node

    @property
    def counts(self) -> dict[str, int]:
        """Pictures and groups of both domains."""
        return {
            "content": len(self.photos),
            "style": len(self.paintings),
            "content_groups": len({picture.group for picture in self.photos}),
            "style_groups": len({picture.group for picture in self.paintings}),
        }

    @property
    def indicative(self) -> bool:
        """Whether there are too few groups for numbers to rely on."""
        return min(self.counts["content_groups"], self.counts["style_groups"]) < MANY_GROUPS

    @property
    def bootstrap(self) -> Bootstrap:
        """The resamples of all intervals."""
        photos, paintings = ([picture.group for picture in of] for of in (self.photos, self.paintings))
        return Bootstrap(photos, paintings, self.config.resamples, self.config.seed)

    def batches(self, pictures: Sequence[Picture]) -> list[list[bytes]]:
        """Encoded pictures, a list for each task."""
        return [files(batch) for batch in batches(pictures, self.config.batch)]

    @property
    def kept_files(self) -> list[Path]:
        """The files that keep the features of both domains."""
        return self.kept(self.photos) + self.kept(self.paintings)

    def kept(self, pictures: Sequence[Picture]) -> list[Path]:
        """The files that keep the features of untouched pictures, one for each batch."""
        found = batches(pictures, self.config.batch)
        return [self.cache.resolve() / cache_name(batch, self.size_px, self.encoder) for batch in found]


@dataclass(frozen=True)
class Measured:
    """References to what was measured."""

    stylized: list[list[Ref]]  # for each model, the `measures.Stylized` of each batch
    photos: list[Ref]  # the `measures.Features` of each batch of untouched photographs
    paintings: list[Ref]


def measure_models(models: Sequence[Path], on: Measurement, stage: str, report: Report) -> Measured:
    """Stylize and measure the photographs with each model, and measure the untouched pictures.

    Args:
        models: model folders; with none, only the features of the untouched pictures are computed and kept.
        report: called with the number of finished pictures: of each model, of the photographs and of the paintings.

    Raises:
        Exception: the first error of a task, such as a ValueError for a damaged model.
    """
    import ray

    features, stylize = (ray.remote(task).options(num_cpus=1, num_returns=2) for task in (_features, _stylize))
    how = on.size_px, on.encoder
    stylized = [
        [
            stylize.remote(data, *how, model.resolve(), index * on.config.batch)
            for index, data in enumerate(on.batches(on.photos))
        ]
        for model in models
    ]
    photos, paintings = (
        [features.remote(data, *how, file) for data, file in zip(on.batches(of), on.kept(of), strict=True)]
        for of in (on.photos, on.paintings)
    )
    tasks = [task for of in (*stylized, photos, paintings) for task in of]
    follow(tasks, (len(models) + 1) * len(on.photos) + len(on.paintings), stage, report)
    made, before, style = [results(of) for of in stylized], results(photos), results(paintings)
    return Measured(made, before, style)


def summarize(measured: Measured, on: Measurement, model: int = 0) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """All metrics of one of the models, as `summary.summarize`, with each photograph's SSIM and correlation."""
    work = remote(_summarize).remote(
        measured.stylized[model], measured.photos + measured.paintings, on.encoder, on.bootstrap
    )
    metrics, each = cluster.get_result(work)
    return rounded(metrics), each


def measure_edits(
    model: Path,
    spec: ClassifierSpec,
    held_out: Mapping[str, Sequence[Picture]],
    on: Measurement,
    report: Report = silent,
) -> dict[str, Any]:
    """Measure whether a model gives the attributes that it is asked for.

    Args:
        held_out: held-out pictures by domain, the photographs first.
        on: pictures and protocol; its photographs are edited.

    Returns:
        As `attribute_edits.summarize`.
    """
    import ray

    edit = ray.remote(_edit).options(num_cpus=1, num_returns=2)
    recognised = remote(_recognise).remote(spec, held_out)
    edited = [
        edit.remote(data, spec.size_px, model.resolve(), recognised, on.encoder.lpips) for data in on.batches(on.photos)
    ]
    follow(edited, len(on.photos), "evaluate", report, "attributes")
    found: dict[str, Any] = rounded(cluster.get_result(remote(_summarize_edits).remote(recognised, results(edited))))
    return found


def measure_means(model: Path, on: Measurement, report: Report) -> dict[str, Any]:
    """How far generated pictures are from real ones, as `fid.mean_distance`, in the encoder of `on`.

    Returns:
        "means" as `reports/evaluation.json` holds it.
    """
    measured = measure_models([model], on, "evaluate", report)
    distance = cluster.get_result(remote(_mean_distance).remote(measured.stylized[0], measured.paintings))
    found: dict[str, Any] = rounded({"means": {"encoder": on.encoder.name, "distance": distance}})
    return found


def show(pictures: Sequence[Picture], model: Path, longest_px: int) -> Ref:
    """Begin to paint pictures for people; the result is that of `measures.show`."""
    return remote(_show).remote(files(pictures), model.resolve(), longest_px)


def size_of(model: Path) -> Ref:
    """Begin to count a model's parameters; the result is that of `measures.size_of`."""
    return remote(_size_of).remote(model.resolve())


def train_classifier(spec: ClassifierSpec) -> None:
    """Train the classifier of attributes and keep it, where that is not done yet."""
    cluster.get_result(remote(_train_classifier).remote(spec))


def follow(tasks: Sequence[tuple[Ref, Ref]], total: int, stage: str, report: Report, note: str = "") -> None:
    """Wait for tasks, whose second result is a number of pictures; the first error ends it."""
    done = 0
    report(Progress(stage, 0, total, "images", note))
    for count in cluster.finished([count for _, count in tasks]):
        done += count
        report(Progress(stage, done, total, "images", note, images=done))


def results(tasks: Sequence[tuple[Ref, Ref]]) -> list[Ref]:
    """The first result of each task."""
    return [result for result, _ in tasks]


def remote(task: Any) -> Any:
    """A function as a Ray task of one core."""
    import ray

    return ray.remote(task).options(num_cpus=1)


def _features(data: list[bytes], size_px: int, encoder: MeasuringEncoder, cache: Path) -> tuple[Any, int]:
    from atelier.tasks.evaluation import measures

    return measures.measure_real(data, size_px, encoder, cache), len(data)


def _stylize(data: list[bytes], size_px: int, encoder: MeasuringEncoder, model: Path, first: int) -> tuple[Any, int]:
    from atelier.tasks.evaluation import measures

    return measures.measure_stylized(data, size_px, model, encoder, first), len(data)


def _show(data: list[bytes], model: Path, longest_px: int) -> list[tuple[Pixels, Pixels]]:
    from atelier.tasks.evaluation import measures

    return measures.show(data, model, longest_px)


def _size_of(model: Path) -> dict[str, float]:
    from atelier.tasks.evaluation import measures

    return measures.size_of(model)


def _train_classifier(spec: ClassifierSpec) -> None:
    from atelier.tasks.evaluation import attribute_edits

    attribute_edits.train_classifier(spec)


def _summarize(
    stylized: list[Ref], untouched: list[Ref], encoder: MeasuringEncoder, bootstrap: Bootstrap
) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    import ray

    from atelier.tasks.evaluation import summary

    return summary.summarize(ray.get(stylized), ray.get(untouched), encoder, bootstrap)


def _mean_distance(made: list[Ref], real: list[Ref]) -> float:
    import numpy as np
    import ray

    from atelier.models.metrics.fid import mean_distance

    sets = [one.features for one in ray.get(made)], ray.get(real)
    return mean_distance(*(np.concatenate([one.deep for one in of]).astype(np.float64) for of in sets))


def _recognise(spec: ClassifierSpec, held_out: Mapping[str, Sequence[Picture]]) -> Any:
    from atelier.tasks.evaluation import attribute_edits

    return attribute_edits.recognise(spec, held_out)


def _edit(data: list[bytes], *rest: Any) -> tuple[Any, int]:
    from atelier.tasks.evaluation import attribute_edits

    return attribute_edits.edit_photos(data, *rest), len(data)


def _summarize_edits(recognised: Any, edited: list[Ref]) -> dict[str, Any]:
    import ray

    from atelier.tasks.evaluation import attribute_edits

    return attribute_edits.summarize(recognised, ray.get(edited))
