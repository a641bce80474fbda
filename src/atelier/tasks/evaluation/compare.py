"""Comparison: several models measured on the same held-out pictures, by the same encoder, at the same size.

Each is compared with the paintings of its own style where the dataset has them, and with those of `train.style`
otherwise. The metrics of one model need no other model, so that each is a task of its own.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atelier.models.card import ModelCard
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.dataset.subsets import MANY_GROUPS, Picture, held_out_pictures, spread
from atelier.tasks.evaluation.compare_table import cells, markdown
from atelier.tasks.evaluation.measure_models import (
    Measurement,
    measure_edits,
    measure_models,
    show,
    size_of,
    summarize,
    train_classifier,
)
from atelier.tasks.evaluation.metric_catalogue import rounded
from atelier.tasks.evaluation.protocol import (
    SHOWN_PX,
    ClassifierSpec,
    EvaluateConfig,
    MeasuringEncoder,
    choose_encoder,
    remove_stale,
)
from atelier.tasks.evaluation.viewing_sizes import at_viewing_sizes, measure_sizes
from atelier.tasks.images.codec import Pixels, decode, encode
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.runtime import cluster
from atelier.tasks.runtime.files import write
from atelier.tasks.runtime.progress import Report, silent

CELL_PX = 192


@dataclass(frozen=True)
class Candidate:
    """A model that is compared."""

    name: str  # as people read it: style-model@v1.2.0, or the last part of a folder's path
    folder: Path
    method: str
    encoder: str  # of its loss, "" where it has none or does not say
    style: str  # the domain whose paintings it is compared with
    attributes: tuple[str, ...]  # that it can give


@dataclass(frozen=True)
class ComparisonSpec:
    """What is the same for all models of a comparison."""

    config: EvaluateConfig
    dataset: Path
    id: str  # of the dataset
    content: str  # the domain whose pictures are stylized
    size_px: int
    encoder: MeasuringEncoder
    cache: Path  # keeps the features of untouched pictures from run to run
    pictures: dict[str, int]  # measured pictures of each domain
    classifier: ClassifierSpec | None  # the one that recognises all attributes; None where no model gives any

    def total(self, candidate: Candidate) -> int:
        """Pictures that are measured for a model, untouched ones included: as `measure` reports them."""
        return 2 * self.pictures[self.content] + self.pictures[candidate.style]


@dataclass(frozen=True)
class Measured:
    """The metrics of a model."""

    candidate: Candidate
    metrics: dict[str, Any]  # as `summary.summarize`, with the model's size
    shown: list[tuple[Pixels, Pixels]]  # pictures before and after


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison."""

    path: Path  # comparison.json
    table: Path  # comparison.md
    grid: Path  # grid.png: a row for each picture, a column for each model
    content: dict[str, Any]  # what comparison.json holds
    failed: dict[str, str]  # models that could not be measured, and why

    @property
    def summary(self) -> str:
        """The table as text, and where everything is."""
        return f"{self.table.read_text(encoding='utf-8')}\npictures: {self.grid}\nnumbers: {self.path}"


def find(
    names: Sequence[str], locate: Callable[[str], tuple[str, Path]], style: str, domains: Sequence[str]
) -> list[Candidate]:
    """The models that a user names, checked before anything starts.

    Args:
        locate: gives what to call a model and its folder.
        style: the domain that a model is compared with whose own style is not in the dataset.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: a model is damaged, or is none that paints; or one is named twice.
    """
    found: list[Candidate] = []
    for text in names:
        name, folder = locate(text)
        card = _card(folder, text)
        if card.kind == "generates":
            raise ValueError(f"{text} makes pictures from noise ({card.method}) and paints none: it cannot be compared")
        if any(folder.resolve() == other.folder.resolve() for other in found):
            raise ValueError(f"{name} is named twice: name each model once")
        compared_with = card.style_domain if card.style_domain in domains else style
        found.append(Candidate(name, folder, card.method, card.encoder, compared_with, card.attributes))
    return [replace(one, name=name) for one, name in zip(found, _unique_names(found), strict=True)]


def prepare(
    config: EvaluateConfig, dataset: Path, content: str, size_px: int, cache: Path, of: Sequence[Candidate]
) -> ComparisonSpec:
    """The protocol of a comparison, when there is enough to measure on; what the cache holds for others is removed.

    Raises:
        FileNotFoundError: there is no dataset, or no encoder's weights.
        ValueError: too little is held out.
    """
    encoder = choose_encoder(*(candidate.encoder for candidate in of))
    dataset, cache, card = dataset.resolve(), cache.resolve(), read_card(dataset)
    names = tuple(sorted({name for candidate in of for name in candidate.attributes}))
    trained_on = tuple(dict.fromkeys((content, *(candidate.style for candidate in of if candidate.attributes))))
    classifier = ClassifierSpec(dataset, trained_on, names, size_px, cache) if names else None
    pictures, kept = {}, [classifier.file] if classifier else []
    for domain in sorted({content, *(candidate.style for candidate in of)}):
        found = held_out_pictures(dataset, card, domain, config.pictures)
        pictures[domain] = len(found)
        kept += Measurement(config, found, (), size_px, encoder, cache).kept(found)
    spec = ComparisonSpec(config, dataset, card.id, content, size_px, encoder, cache, pictures, classifier)
    kept += [file for on in _larger(spec) for file in on.kept_files]
    remove_stale(cache, kept)
    return spec


def measure_untouched(spec: ComparisonSpec) -> int:
    """Keep the features of the untouched pictures, and the classifier, so that no model's task computes them again.

    Returns:
        The number of these pictures.
    """
    for domain in spec.pictures:
        measure_models((), _measurement(spec, _pictures(spec, domain), ()), "compare", silent)
    for on in _larger(spec):
        measure_models((), on, "compare", silent)
    if spec.classifier:
        train_classifier(spec.classifier)
    return sum(spec.pictures.values())


def measure(spec: ComparisonSpec, candidate: Candidate, report: Report = silent) -> Measured:
    """Measure a model; Ray must be connected.

    Raises:
        RuntimeError: the dataset is another one by now.
        ValueError: the model is damaged, or cannot paint.
    """
    photos, paintings = _pictures(spec, spec.content), _pictures(spec, candidate.style)
    on = _measurement(spec, photos, paintings)
    on = replace(on, encoder=replace(spec.encoder, independent=spec.encoder.name != candidate.encoder))
    shown, size = show(spread(photos, spec.config.pairs), candidate.folder, SHOWN_PX), size_of(candidate.folder)
    metrics, _ = summarize(measure_models([candidate.folder], on, "compare", report), on)
    metrics |= {"counts": on.counts, "size": rounded(cluster.get_result(size))}
    if not candidate.attributes:  # it paints
        metrics |= measure_sizes(candidate.folder, at_viewing_sizes(on), silent)
    if candidate.attributes and spec.classifier:
        known = {spec.content: photos, candidate.style: paintings}
        held = {domain: known.get(domain) or _pictures(spec, domain) for domain in spec.classifier.domains}
        metrics |= measure_edits(candidate.folder, spec.classifier, held, on)
    return Measured(candidate, metrics, cluster.get_result(shown))


def publish(folder: Path, spec: ComparisonSpec, measured: Sequence[Measured], failed: dict[str, str]) -> Comparison:
    """Write `comparison.json`, `comparison.md` and `grid.png`, with a column for each measured model, at least one."""
    models = [
        {"name": m.candidate.name, "method": m.candidate.method, "style_domain": m.candidate.style, **m.metrics}
        for m in measured
    ]
    counts = [model["counts"] for model in models]
    content = {
        "split": "holdout",
        "dataset": spec.id[:12],
        "content_domain": spec.content,
        "size_px": spec.size_px,
        "indicative": min(min(c["content_groups"], c["style_groups"]) for c in counts) < MANY_GROUPS,
        "models": models,
        "failed": failed,
    }
    rows: list[list[Pixels | None]]
    rows = [[before, *(m.shown[i][1] for m in measured)] for i, (before, _) in enumerate(measured[0].shown)]
    # another painting in each column, where they are of one style
    paintings = [spread(_pictures(spec, m.candidate.style), i + 1)[-1] for i, m in enumerate(measured)]
    rows.append([None, *(decode(painting.data) for painting in paintings)])
    labels = [*("" for _ in rows[:-1]), "of the style"]
    columns = [spec.content, *(m.candidate.name for m in measured)]
    found = Comparison(folder / "comparison.json", folder / "comparison.md", folder / "grid.png", content, failed)
    write(found.grid, encode(contact_sheet(rows, labels, columns, CELL_PX), "png"))
    write(found.table, markdown(content, cells(models)).encode())
    write(found.path, json.dumps(content, indent=2).encode() + b"\n")
    return found


def _unique_names(of: Sequence[Candidate]) -> list[str]:
    """Unique names of models: folders of one name get as much of their paths as it takes."""
    names, depth = [one.name for one in of], 1
    while len(set(names)) < len(names):
        depth += 1
        paths = ["/".join(one.folder.resolve().parts[-depth:]) for one in of]
        names = [path if names.count(name) > 1 else name for name, path in zip(names, paths, strict=True)]
    return names


def _pictures(spec: ComparisonSpec, domain: str) -> list[Picture]:
    card = read_card(spec.dataset)
    if card.id != spec.id:
        raise RuntimeError(f"{spec.dataset} changed while models were compared on it: run the same command again")
    return held_out_pictures(spec.dataset, card, domain, spec.config.pictures)


def _larger(spec: ComparisonSpec) -> list[Measurement]:
    """The measurements at the viewing sizes, of each style."""
    photos, styles = _pictures(spec, spec.content), spec.pictures.keys() - {spec.content}
    of = [_measurement(spec, photos, _pictures(spec, style)) for style in sorted(styles)]
    return [larger for on in of for larger in at_viewing_sizes(on)]


def _measurement(spec: ComparisonSpec, photos: Sequence[Picture], paintings: Sequence[Picture]) -> Measurement:
    return Measurement(spec.config, photos, paintings, spec.size_px, spec.encoder, spec.cache)


def _card(folder: Path, text: str) -> ModelCard:
    try:
        return ModelCard.read(folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{text} is no model: name a version (style-model@v1.2.0, style-model-STYLE@prod) or a model folder"
        ) from error
