"""Evaluate: how far the stylized held-out photographs are from the style, and how much of them is left.

Every distance stands beside its baseline, the same distance of the untouched photographs: the ratio says what the
model achieved, whatever the encoder's units. Intervals are 95 % bootstraps over groups, since crops of one parent are
no independent observations.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atelier.models.card import ModelCard
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.dataset.subsets import Picture, files, held_out_pictures, spread
from atelier.tasks.evaluation.measure_models import (
    Measurement,
    measure_edits,
    measure_means,
    measure_models,
    show,
    summarize,
)
from atelier.tasks.evaluation.memorisation_audit import audit, training_split
from atelier.tasks.evaluation.metric_catalogue import METRICS
from atelier.tasks.evaluation.plots import GRID_COLUMNS, write_nearest, write_plots
from atelier.tasks.evaluation.protocol import (
    EMBEDDER,
    SHOWN_PX,
    ClassifierSpec,
    EvaluateConfig,
    MeasuringEncoder,
    Shown,
    choose_encoder,
    remove_stale,
)
from atelier.tasks.evaluation.viewing_sizes import at_viewing_sizes, measure_sizes
from atelier.tasks.runtime import cluster, encoder_weights
from atelier.tasks.runtime.files import write
from atelier.tasks.runtime.progress import Report, silent


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a model."""

    path: Path  # evaluation.json
    metrics: dict[str, Any]  # its content


def evaluate(
    config: EvaluateConfig, dataset: Path, model: Path, out: Path, plots: Path, cache: Path, report: Report = silent
) -> Evaluation:
    """Measure a model on the held-out split; Ray must be connected.

    Args:
        plots: folder to write `ssim.csv`, `grid.png`, `pairs/`, and of a model that generates `nearest.png` into; its
            content is replaced.
        cache: folder that keeps from run to run what does not depend on the model: features of untouched pictures, and
            the classifier of attributes; files that this run does not use are removed.

    Raises:
        FileNotFoundError: there is no dataset, no model, or no encoder's weights.
        ValueError: the model does not say what it was trained on, or too little is held out.
    """
    card, facts = read_card(dataset), ModelCard.read_trained(model)
    photos = held_out_pictures(dataset, card, facts.content_domain, config.pictures)
    paintings = held_out_pictures(dataset, card, facts.style_domain, config.pictures)
    on = measurement(config, model, photos, paintings, cache)
    # a larger file shows more: it comes first, where people look
    shown = sorted(spread(photos, config.pairs), key=lambda photo: len(photo.data), reverse=True)
    pairs = show(shown, model, SHOWN_PX)
    measured, each = measure(model, on, report)
    sizes = [] if facts.kind else at_viewing_sizes(on)  # of what paints
    measured |= measure_sizes(model, sizes, report)
    kept = [file for one in (on, *sizes) for file in one.kept_files]
    if facts.attributes:
        domains = {facts.content_domain: photos, facts.style_domain: paintings}  # one where both domains are
        spec = ClassifierSpec(dataset.resolve(), tuple(domains), facts.attributes, on.size_px, cache.resolve())
        measured |= measure_edits(model, spec, domains, on, report)
        kept.append(spec.file)
    near: list[Shown] = []
    if facts.kind == "generates":
        # always in the same encoder, since a limit of the gate holds for it
        embedded = replace(on, encoder=MeasuringEncoder(EMBEDDER, encoder_weights.resolve(EMBEDDER), True))
        measured |= measure_means(model, embedded, report)
        kept += embedded.kept_files
        compared = training_split(dataset, card, facts.style_domain, on)
        copies, near = audit(compared, model, len(photos), report)
        measured |= copies
        kept += compared.kept_files
    remove_stale(cache.resolve(), kept)
    metrics = {"split": "holdout", "dataset": card.id[:12], **measured}
    rows = [(p.id[:12], p.group[:12], *values) for p, values in zip(photos if each else [], each, strict=True)]
    names, style = ("photograph", "stylized"), files(spread(paintings, GRID_COLUMNS))
    if facts.kind == "generates":
        names, style = (facts.content_domain, "generated"), []
    write_plots(plots, rows, cluster.get_result(pairs), style, names)
    if near:
        write_nearest(plots, near)
    write(out, json.dumps(metrics, indent=2).encode() + b"\n")
    return Evaluation(out, metrics)


def measurement(
    config: EvaluateConfig, model: Path, photos: Sequence[Picture], paintings: Sequence[Picture], cache: Path
) -> Measurement:
    """How one model is measured: at its training size, by an encoder that had no part in its loss.

    Raises:
        FileNotFoundError: there is no model, or no encoder's weights.
        ValueError: the model does not say what it was trained on.
    """
    facts = ModelCard.read_trained(model)
    return Measurement(config, photos, paintings, facts.size_px, choose_encoder(facts.encoder), cache)


def measure(model: Path, on: Measurement, report: Report) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    """Measure a model on pictures that it has not seen; Ray must be connected.

    Returns:
        The metrics as `reports/evaluation.json` holds them, and each photograph's SSIM and luminance correlation.

    Raises:
        ValueError: the model is damaged.
    """
    facts = ModelCard.read_trained(model)
    metrics, each = summarize(measure_models([model], on, "evaluate", report), on)
    if facts.content_domain == facts.style_domain:
        # what is in the style already is no baseline
        for name in metrics.keys() & {one.section for one in METRICS if one.compared_with == "style"}:
            metrics[name] = {
                k: v for k, v in metrics[name].items() if not k.startswith(("photos", "ratio", "difference"))
            }
    kind = {"kind": facts.kind} if facts.kind else {}
    return {**kind, "indicative": on.indicative, "size_px": on.size_px, "counts": on.counts, **metrics}, each
