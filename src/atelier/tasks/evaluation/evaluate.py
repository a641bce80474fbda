"""Evaluate: how far the stylized held-out photographs are from the style, and how much of them is left.

Every distance stands beside its baseline, the same distance of the untouched photographs: the ratio says what the
model achieved, whatever the encoder's units. Intervals are 95 % bootstraps over groups, since crops of one parent are
no independent observations.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier.models.card import ModelCard
from atelier.models.controls import GENERATING
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.dataset.subsets import Picture, batches, files, held_out, spread
from atelier.tasks.evaluation.metrics import METRICS
from atelier.tasks.evaluation.plots import GRID_COLUMNS, write_plots
from atelier.tasks.evaluation.protocol import (
    CLASSIFIER,
    MANY_GROUPS,
    SHOWN_PX,
    ClassifierSpec,
    EvaluateConfig,
    MeasuringEncoder,
    cache_name,
    choose_encoder,
    lpips_weights,
)
from atelier.tasks.images.codec import Pixels
from atelier.tasks.runtime import cluster
from atelier.tasks.runtime.files import write
from atelier.tasks.runtime.progress import Progress, Report, silent


@dataclass(frozen=True)
class Evaluation:
    """What was measured."""

    path: Path  # evaluation.json
    metrics: dict[str, Any]  # what it holds


def evaluate(
    config: EvaluateConfig,
    dataset: Path,
    model: Path,
    out: Path,
    plots: Path,
    cache: Path,
    report: Report = silent,
) -> Evaluation:
    """Measure a model on the held-out split; Ray must be connected.

    Args:
        config: how to measure.
        dataset: the dataset folder.
        model: the model folder.
        out: the JSON file to write.
        plots: folder to write `ssim.csv`, `grid.png` and `pairs/` into; what is in it is replaced.
        cache: folder that keeps from run to run what does not depend on the model: features of untouched pictures,
            and what tells attributes.
        report: told of finished pictures.

    Raises:
        FileNotFoundError: there is no dataset, no model, or no encoder's weights.
        ValueError: the model does not say what it was trained on, or too little is held out.
    """
    import ray

    card = read_card(dataset)
    facts = ModelCard.read_trained(model)
    photos = held_out(dataset, card, facts.content_domain, config.pictures)
    paintings = held_out(dataset, card, facts.style_domain, config.pictures)
    # a larger file shows more: it comes first, where people look
    shown = sorted(spread(photos, config.pairs), key=lambda photo: len(photo.data), reverse=True)
    pairs = ray.remote(_show).options(num_cpus=1).remote(files(shown), model.resolve(), SHOWN_PX)
    measured, each = measure(config, model, photos, paintings, cache, report)
    measured |= measure_edits(config, dataset, model, photos, paintings, cache, report)
    metrics = {"split": "holdout", "dataset": card.id[:12], **measured}
    rows = [(p.id[:12], p.group[:12], *values) for p, values in zip(photos if each else [], each, strict=True)]
    names = ("photograph", "stylized") if facts.method not in GENERATING else (facts.content_domain, "generated")
    write_plots(plots, rows, cluster.get_result(pairs), files(spread(paintings, GRID_COLUMNS)), names)
    write(out, json.dumps(metrics, indent=2).encode() + b"\n")
    return Evaluation(out, metrics)


def measure(
    config: EvaluateConfig, model: Path, photos: list[Picture], paintings: list[Picture], cache: Path, report: Report
) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """Measure a model on pictures that it has not seen; Ray must be connected.

    Args:
        config: how to measure.
        model: the model folder.
        photos: of the content domain; these are stylized.
        paintings: of the style domain.
        cache: folder that keeps the features of untouched pictures from run to run; what is not of these is removed.
        report: told of finished pictures.

    Returns:
        The measures by name, and each photograph's SSIM and correlation.

    Raises:
        FileNotFoundError: there is no model, or no encoder's weights.
        ValueError: the model does not say what it was trained on.
    """
    import ray

    facts = ModelCard.read_trained(model)
    size, encoder = facts.size_px, choose_encoder(facts.encoder)
    real, stylize = (ray.remote(task).options(num_cpus=1, num_returns=2) for task in (_real, _stylized))
    summarize = ray.remote(_summarize).options(num_cpus=1)
    photo_batches, painting_batches = batches(photos, config.batch), batches(paintings, config.batch)
    model, cache = model.resolve(), cache.resolve()
    # each task gives what it measured, which stays on the cluster, and how many pictures that were
    stylized = [
        stylize.remote(files(batch), size, model, encoder, index * config.batch)
        for index, batch in enumerate(photo_batches)
    ]
    kept = [cache / cache_name(batch, size, encoder) for batch in photo_batches + painting_batches]
    untouched = [
        real.remote(files(batch), size, encoder, file)
        for batch, file in zip(photo_batches + painting_batches, kept, strict=True)
    ]
    _follow([done for _, done in stylized + untouched], 2 * len(photos) + len(paintings), report)

    groups = [p.group for p in photos], [p.group for p in paintings]
    measured, each = cluster.get_result(
        summarize.remote(
            [ref for ref, _ in stylized], [ref for ref, _ in untouched], *groups, encoder, config.resamples, config.seed
        )
    )
    for stale in set(cache.glob("*.safetensors")) - set(kept):
        stale.unlink(missing_ok=True)
    counts = {
        "content": len(photos),
        "style": len(paintings),
        "content_groups": len(set(groups[0])),
        "style_groups": len(set(groups[1])),
    }
    few = min(counts["content_groups"], counts["style_groups"]) < MANY_GROUPS
    if facts.content_domain == facts.style_domain:
        # what is in the style already is no baseline
        for name in measured.keys() & {one.section for one in METRICS if one.compared_with == "style"}:
            measured[name] = {k: v for k, v in measured[name].items() if k != "photos" and not k.startswith("ratio")}
    kind = {"kind": facts.kind} if facts.kind else {}
    return {**kind, "indicative": few, "size_px": size, "counts": counts, **rounded(measured)}, each


def measure_edits(
    config: EvaluateConfig,
    dataset: Path,
    model: Path,
    photos: list[Picture],
    paintings: list[Picture],
    cache: Path,
    report: Report,
) -> dict[str, Any]:
    """Measure whether a model gives the attributes that it is asked for; Ray must be connected.

    Args:
        config: how to measure.
        dataset: the dataset folder, of which the training split teaches a classifier.
        model: the model folder.
        photos: held-out pictures of the content domain; these are edited.
        paintings: those of the style domain.
        cache: folder that keeps the classifier from run to run; other classifiers are removed.
        report: told of finished pictures.

    Returns:
        As `edits.summarize`; nothing where the model's method has no attributes.
    """
    import ray

    facts = ModelCard.read_trained(model)
    if not facts.attributes:
        return {}
    held = {facts.content_domain: photos, facts.style_domain: paintings}  # one where both domains are
    spec = ClassifierSpec(dataset.resolve(), tuple(held), facts.attributes, facts.size_px, cache.resolve())
    judge, summarize = (ray.remote(task).options(num_cpus=1) for task in (_judge, _summarize_edits))
    edit = ray.remote(_edited).options(num_cpus=1, num_returns=2)
    by = judge.remote(spec, held)
    edited = [
        edit.remote(files(batch), spec.size, model.resolve(), by, lpips_weights())
        for batch in batches(photos, config.batch)
    ]
    _follow([done for _, done in edited], len(photos), report, "attributes")
    forget_classifiers(spec.cache, [spec.file])
    found: dict[str, Any] = rounded(cluster.get_result(summarize.remote(by, [ref for ref, _ in edited])))
    return found


def _real(data: list[bytes], size: int, encoder: MeasuringEncoder, cache: Path) -> tuple[Any, int]:
    from atelier.tasks.evaluation import measures

    return measures.measure_real(data, size, encoder, cache), len(data)


def _stylized(data: list[bytes], size: int, model: Path, encoder: MeasuringEncoder, first: int) -> tuple[Any, int]:
    from atelier.tasks.evaluation import measures

    return measures.measure_stylized(data, size, model, encoder, first), len(data)


def _show(data: list[bytes], model: Path, longest: int) -> list[tuple[Pixels, Pixels]]:
    from atelier.tasks.evaluation import measures

    return measures.show(data, model, longest)


def _judge(spec: ClassifierSpec, held: dict[str, list[Picture]]) -> Any:
    from atelier.tasks.evaluation import attribute_edits

    return attribute_edits.judge(spec, held)


def _edited(data: list[bytes], *rest: Any) -> tuple[Any, int]:
    from atelier.tasks.evaluation import attribute_edits

    return attribute_edits.edit(data, *rest), len(data)


def _summarize_edits(judge: Any, edited: list[Any]) -> dict[str, Any]:
    import ray

    from atelier.tasks.evaluation import attribute_edits

    return attribute_edits.summarize(judge, ray.get(edited))


def _summarize(
    stylized: list[Any], untouched: list[Any], *rest: Any
) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    import ray

    from atelier.tasks.evaluation import measures

    return measures.summarize(ray.get(stylized), ray.get(untouched), *rest)


def _follow(tasks: list[Any], total: int, report: Report, note: str = "") -> None:
    """Wait for tasks and report how many pictures they have done; the first error ends it."""
    done = 0
    report(Progress("evaluate", 0, total, "images", note))
    for count in cluster.finished(tasks):
        done += count
        report(Progress("evaluate", done, total, "images", note, images=done))


def forget_classifiers(cache: Path, kept: Iterable[Path]) -> None:
    """Remove all classifiers of attributes from a folder but those that are named."""
    for stale in set(cache.glob(f"*{CLASSIFIER}")) - set(kept):
        stale.unlink(missing_ok=True)


def rounded(value: Any) -> Any:
    """Six significant digits: enough for people, and for telling two models apart."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value
