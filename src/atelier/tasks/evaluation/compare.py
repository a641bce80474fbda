"""Comparison: several models measured on the same held-out pictures, by the same encoder, at the same size.

Each is compared with the paintings of its own style where the dataset has them, and with those of `train.style`
otherwise. What is measured of one model needs no other, so that each can be a task of its own.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atelier.models.card import ModelCard
from atelier.models.controls import GENERATING
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.dataset.subsets import Picture, batches, files, held_out, spread
from atelier.tasks.evaluation.compare_table import cells, markdown
from atelier.tasks.evaluation.evaluate import forget_classifiers, rounded
from atelier.tasks.evaluation.measures import Stylized, measure_real, measure_stylized, show, size_of, summarize
from atelier.tasks.evaluation.protocol import (
    MANY_GROUPS,
    SHOWN_PX,
    ClassifierSpec,
    EvaluateConfig,
    MeasuringEncoder,
    cache_name,
    choose_encoder,
)
from atelier.tasks.images.codec import Pixels, decode, encode
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.runtime.files import write
from atelier.tasks.runtime.progress import Progress, Report, silent

CELL_PX = 192


@dataclass(frozen=True)
class Candidate:
    """A model that is compared."""

    name: str  # as people read it: style-model@v1.2.0, or the last part of a folder's path
    folder: Path
    method: str
    encoder: str  # of its loss, "" where it has none or does not say
    style: str  # the domain whose paintings it is held against
    attributes: tuple[str, ...]  # that it can give


@dataclass(frozen=True)
class Terms:
    """What is the same for all."""

    config: EvaluateConfig
    dataset: Path
    id: str  # of the dataset
    content: str  # the domain whose pictures are stylized
    size_px: int
    encoder: MeasuringEncoder
    cache: Path  # keeps the features of untouched pictures from run to run
    photos: int  # pictures that are stylized
    spec: ClassifierSpec | None  # of the one classifier that tells all attributes; None where no model gives any


@dataclass(frozen=True)
class Measured:
    """What was measured of a model."""

    candidate: Candidate
    measures: dict[str, Any]  # as `measuring.summarize`, with the model's size
    shown: list[tuple[Pixels, Pixels]]  # pictures before and after


@dataclass(frozen=True)
class Comparison:
    """What a comparison found."""

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
    """The models that people name, before anything is started.

    Args:
        names: as people write them.
        locate: gives what to call a model and its folder.
        style: the domain that a model is held against whose own style is not in the dataset.
        domains: of the dataset.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: a model is damaged, or is none that paints; or one is named twice.
    """
    found: list[Candidate] = []
    for text in names:
        name, folder = locate(text)
        card = _card(folder, text)
        if card.method in GENERATING:
            raise ValueError(f"{text} makes pictures from noise ({card.method}) and paints none: it cannot be compared")
        if any(folder.resolve() == other.folder.resolve() for other in found):
            raise ValueError(f"{name} is named twice: name each model once")
        held_against = card.style_domain if card.style_domain in domains else style
        found.append(Candidate(name, folder, card.method, card.encoder, held_against, card.attributes))
    return [replace(one, name=name) for one, name in zip(found, _apart(found), strict=True)]


def agree(config: EvaluateConfig, dataset: Path, content: str, size_px: int, cache: Path, of: list[Candidate]) -> Terms:
    """The terms of a comparison, and that there is enough to measure on.

    Raises:
        FileNotFoundError: there is no dataset, or no encoder's weights.
        ValueError: too little is held out.
    """
    encoder = choose_encoder(*(candidate.encoder for candidate in of))
    card = read_card(dataset)
    photos = len(held_out(dataset, card, content, config.pictures))
    names = tuple(sorted({name for candidate in of for name in candidate.attributes}))
    domains = tuple(dict.fromkeys((content, *(candidate.style for candidate in of if candidate.attributes))))
    spec = ClassifierSpec(dataset.resolve(), domains, names, size_px, cache.resolve()) if names else None
    terms = Terms(config, dataset.resolve(), card.id, content, size_px, encoder, cache.resolve(), photos, spec)
    kept = {
        terms.cache / cache_name(batch, size_px, encoder) for d in _domains(terms, of) for batch in _batches(terms, d)
    }
    for stale in set(terms.cache.glob("*.safetensors")) - kept:
        stale.unlink(missing_ok=True)
    forget_classifiers(terms.cache, [spec.file] if spec else [])
    return terms


def look(terms: Terms, of: list[Candidate]) -> int:
    """Keep the features of the untouched pictures and what tells attributes, so that no model's task has to make them.

    Returns:
        How many pictures that were, those that a classifier learns from aside.
    """
    from atelier.tasks.evaluation import attribute_edits

    total = 0
    for domain in _domains(terms, of):
        for batch in _batches(terms, domain):
            kept = terms.cache / cache_name(batch, terms.size_px, terms.encoder)
            measure_real(files(batch), terms.size_px, terms.encoder, kept)
            total += len(batch)
    if terms.spec:
        attribute_edits.learn(terms.spec)
    return total


def measure(terms: Terms, candidate: Candidate, report: Report = silent) -> Measured:
    """Measure a model in this process.

    Args:
        terms: what is the same for all.
        candidate: the model.
        report: told of pictures that were stylized.

    Raises:
        RuntimeError: the dataset is another one by now.
        ValueError: the model is damaged, or cannot paint.
    """
    from atelier.tasks.evaluation import attribute_edits

    config, size = terms.config, terms.size_px
    encoder = replace(terms.encoder, independent=terms.encoder.name != candidate.encoder)
    photos, paintings = _pictures(terms, terms.content), _pictures(terms, candidate.style)
    stylized: list[Stylized] = []
    for index, batch in enumerate(batches(photos, config.batch)):
        stylized.append(measure_stylized(files(batch), size, candidate.folder, encoder))
        report(Progress("compare", index * config.batch + len(batch), len(photos), "images"))
    untouched = [
        measure_real(files(batch), size, encoder, terms.cache / cache_name(batch, size, encoder))
        for batch in batches(photos, config.batch) + batches(paintings, config.batch)
    ]
    groups = [p.group for p in photos], [p.group for p in paintings]
    measures, _ = summarize(stylized, untouched, *groups, encoder, config.resamples, config.seed)
    counts = {
        "content": len(photos),
        "style": len(paintings),
        "content_groups": len(set(groups[0])),
        "style_groups": len(set(groups[1])),
    }
    measures |= {"counts": counts, "size": size_of(candidate.folder)}
    if candidate.attributes and terms.spec:
        held = {terms.content: photos, candidate.style: paintings}
        by = attribute_edits.judge(terms.spec, {d: held.get(d) or _pictures(terms, d) for d in terms.spec.domains})
        edited = [
            attribute_edits.edit(files(batch), size, candidate.folder, by, encoder.lpips)
            for batch in batches(photos, config.batch)
        ]
        measures |= attribute_edits.summarize(by, edited)
    shown = show(files(spread(photos, config.pairs)), candidate.folder, SHOWN_PX)
    return Measured(candidate, rounded(measures), shown)


def publish(folder: Path, terms: Terms, measured: Sequence[Measured], failed: dict[str, str]) -> Comparison:
    """Write `comparison.json`, `comparison.md` and `grid.png`.

    Args:
        folder: where to write.
        terms: what was the same for all.
        measured: of each model, in the order of the columns; at least one.
        failed: models that could not be measured, and why.
    """
    models = [
        {"name": m.candidate.name, "method": m.candidate.method, "style_domain": m.candidate.style, **m.measures}
        for m in measured
    ]
    counts = [model["counts"] for model in models]
    content = {
        "split": "holdout",
        "dataset": terms.id[:12],
        "content_domain": terms.content,
        "size_px": terms.size_px,
        "indicative": min(min(c["content_groups"], c["style_groups"]) for c in counts) < MANY_GROUPS,
        "models": models,
        "failed": failed,
    }
    rows: list[list[Pixels | None]]
    rows = [[before, *(m.shown[i][1] for m in measured)] for i, (before, _) in enumerate(measured[0].shown)]
    # another painting in each column, where they are of one style
    paintings = [spread(_pictures(terms, m.candidate.style), i + 1)[-1] for i, m in enumerate(measured)]
    rows.append([None, *(decode(painting.data) for painting in paintings)])
    labels = [*("" for _ in rows[:-1]), "of the style"]
    columns = [terms.content, *(m.candidate.name for m in measured)]
    found = Comparison(folder / "comparison.json", folder / "comparison.md", folder / "grid.png", content, failed)
    write(found.grid, encode(contact_sheet(rows, labels, columns, CELL_PX), "png"))
    write(found.table, markdown(content, cells(models)).encode())
    write(found.path, json.dumps(content, indent=2).encode() + b"\n")
    return found


def _apart(of: Sequence[Candidate]) -> list[str]:
    """Names that tell models apart: of folders of one name, as much of their paths as it takes."""
    names, depth = [one.name for one in of], 1
    while len(set(names)) < len(names):
        depth += 1
        paths = ["/".join(one.folder.resolve().parts[-depth:]) for one in of]
        names = [path if names.count(name) > 1 else name for name, path in zip(names, paths, strict=True)]
    return names


def _domains(terms: Terms, of: list[Candidate]) -> list[str]:
    return sorted({terms.content, *(candidate.style for candidate in of)})


def _pictures(terms: Terms, domain: str) -> list[Picture]:
    card = read_card(terms.dataset)
    if card.id != terms.id:
        raise RuntimeError(f"{terms.dataset} changed while models were compared on it: run the same command again")
    return held_out(terms.dataset, card, domain, terms.config.pictures)


def _batches(terms: Terms, domain: str) -> list[list[Picture]]:
    return batches(_pictures(terms, domain), terms.config.batch)


def _card(folder: Path, text: str) -> ModelCard:
    try:
        return ModelCard.read(folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{text} is no model: name a version (style-model@v1.2.0, style-model-STYLE@prod) or a model folder"
        ) from error
