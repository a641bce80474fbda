"""K-fold cross-validation on the training split. The held-out split is not touched.

A fold is a share of the groups, so no parent is on both sides. Each fold is left out of a training and then measured as
`evaluate` measures the held-out split; the deviation over the folds says how much a score depends on the pictures it
was measured on. Finished folds are kept under a hash of all that decides their outcome: a killed run continues.
"""

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from atelier.tasks.dataset.shards import Card, fold_of, read_card, read_rows
from atelier.tasks.dataset.subsets import held_out_pictures
from atelier.tasks.evaluation.evaluate import measure, measurement
from atelier.tasks.evaluation.metric_catalogue import (
    CHECKERBOARD,
    CORRELATION,
    INVERSION,
    KID,
    REPETITION,
    SSIM,
    STYLE,
    value,
)
from atelier.tasks.evaluation.protocol import EvaluateConfig, choose_encoder
from atelier.tasks.runtime.files import write
from atelier.tasks.runtime.progress import Progress, Report
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.training.train import facts_of, train
from atelier.tasks.workspace.format_versions import EVALUATE

_CHECKED = (KID, KID.ratio, STYLE, STYLE.ratio, SSIM, INVERSION, CORRELATION, CHECKERBOARD, CHECKERBOARD.ratio)
METRIC_KEYS = tuple(one.key for one in (*_CHECKED, REPETITION))

_LEAST = 2  # pictures of a domain in a fold: fewer have no distribution to measure


@dataclass(frozen=True)
class Spread:
    """A metric over the folds."""

    mean: float
    deviation: float  # standard deviation of the folds
    each: tuple[float, ...]  # in the order of the folds


@dataclass(frozen=True)
class CrossValidation:
    """The result of cross-validation."""

    folds: int
    training_set: str  # its id
    metrics: tuple[str, str]  # what KID and the style distance were measured in
    pictures: tuple[dict[str, int], ...]  # of each fold: pictures and groups of both domains that were measured
    measures: dict[str, Spread]  # by their names in reports/evaluation.json
    path: Path  # folds.json

    @property
    def table(self) -> list[dict[str, Any]]:
        """A row for each metric, for people."""
        return [
            {"measure": name, "mean": f"{spread.mean:.4g}", "± deviation": f"{spread.deviation:.2g}"}
            | {f"fold {k + 1}": f"{number:.4g}" for k, number in enumerate(spread.each)}
            for name, spread in self.measures.items()
        ]

    @property
    def summary(self) -> str:
        """The table as text."""
        rows = [list(self.table[0]), *(list(row.values()) for row in self.table)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        kid, style = self.metrics
        return "\n".join([*lines, f"{kid}, style distance in {style}", f"written to {self.path}"])


@dataclass(frozen=True)
class FoldInputs:
    """What all folds have in common."""

    config: TrainConfig
    evaluate: EvaluateConfig
    folds: int  # K, at least 2
    dataset: Path  # of it only the training split is read
    data: Path  # the training set
    initial: Path | None = None  # the starter model that `config.start_from` names


def check(config: TrainConfig, folds: int) -> None:
    """Check that a training can be cross-validated, before anything is started.

    Raises:
        ValueError: it cannot.
    """
    if folds < 2:
        raise ValueError(f"--folds is {folds}: at least 2 are needed, one to measure and one to train on")
    if config.start_from != "scratch" and not config.starts_from_starter:
        raise ValueError(
            f"train.start_from is {config.start_from}, whose weights have seen the pictures that folds leave out: "
            "set it to scratch or to a starter model to cross-validate"
        )


def cross_validate(inputs: FoldInputs, runs: Path, out: Path, report: Report) -> CrossValidation:
    """Train without each fold in turn and measure on it; Ray must be connected.

    Args:
        runs: keeps what is finished. All paths must be visible to every node of the cluster.

    Raises:
        FileNotFoundError: there is no training set, or no encoder's weights.
        ValueError: there are too few pictures for so many folds.
        RuntimeError: a training failed, or the training set changed meanwhile.
    """
    check(inputs.config, inputs.folds)
    source, card = read_card(inputs.dataset), read_card(inputs.data)
    for domain in (inputs.config.content, inputs.config.style):
        _check_domain(inputs.dataset, source, domain, inputs.folds)
    run = runs / _run_name(inputs, card, source)
    for left in runs.glob("*/fold-*/"):
        if left.parent != run:
            shutil.rmtree(left)  # begun with other parameters: its checkpoints are large
    found: list[dict[str, Any]] = []
    for k in range(inputs.folds):
        kept, work = run / f"fold-{k}.json", run / f"fold-{k}"
        if not kept.is_file():
            metrics = _measure_fold(inputs, card.id, k, work, _progress_of(inputs, k, report))
            write(kept, json.dumps(metrics, indent=2).encode() + b"\n")
        shutil.rmtree(work, ignore_errors=True)  # also of a run that was killed before it did
        found.append(json.loads(kept.read_text()))
    return _written(found, card.id, out)


def _run_name(inputs: FoldInputs, card: Card, dataset: Card) -> str:
    """A hash of all that decides the outcome; pictures that are only shown do not."""
    facts = facts_of(inputs.config, card, inputs.initial)
    decides = [facts, dataset.id, asdict(replace(inputs.evaluate, pairs=1)), EVALUATE, inputs.folds]
    decides.append(choose_encoder(facts["encoder"]).name)
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def _measure_fold(inputs: FoldInputs, training_set: str, k: int, work: Path, report: Report) -> dict[str, Any]:
    """Train without fold k, unless that is done, and measure on it; `work` keeps checkpoints and the model."""
    config, fold, model = inputs.config, (k, inputs.folds), work / "model"
    if not model.is_dir():  # it is placed when it is whole
        try:
            folders = work / "checkpoints", work / "logs"
            made = train(config, inputs.data, model, *folders, report, inputs.initial, fold)
        except RuntimeError as error:
            raise RuntimeError(f"fold {k + 1}/{inputs.folds}: {error}") from error
        if made.training_set != training_set:
            raise RuntimeError(f"{inputs.data} changed while folds were trained on it: run the same command again")
    card, most = read_card(inputs.dataset), inputs.evaluate.pictures
    photos, paintings = (
        held_out_pictures(inputs.dataset, card, domain, most, fold) for domain in (config.content, config.style)
    )
    on = measurement(inputs.evaluate, model, photos, paintings, work / "features")
    metrics, _ = measure(model, on, report)
    return metrics


def _progress_of(inputs: FoldInputs, k: int, report: Report) -> Report:
    """Report a fold's training and measurement as steps of all folds."""
    steps, batch = inputs.config.loop.steps, inputs.config.loop.batch_size

    def report_fold(progress: Progress) -> None:
        measuring = progress.stage == "evaluate"
        done = k * steps + (steps if measuring else progress.done)
        note = f"measured {progress.done}/{progress.total} images" if measuring else progress.note
        words = f"fold {k + 1}/{inputs.folds}  {note}"
        report(Progress("folds", done, inputs.folds * steps, "steps", words, images=done * batch))

    return report_fold


def _written(found: list[dict[str, Any]], training_set: str, out: Path) -> CrossValidation:
    measures = {}
    for name in METRIC_KEYS:
        numbers = tuple(value(metrics, name) for metrics in found)
        measures[name] = Spread(float(f"{fmean(numbers):.6g}"), float(f"{stdev(numbers):.6g}"), numbers)
    result = CrossValidation(
        folds=len(found),
        training_set=training_set,
        metrics=(found[0]["kid"]["metric"], found[0]["style"]["encoder"]),
        pictures=tuple(metrics["counts"] for metrics in found),
        measures=measures,
        path=out,
    )
    content = {name: item for name, item in asdict(result).items() if name != "path"}
    write(out, json.dumps(content, indent=2).encode() + b"\n")
    return result


def _check_domain(dataset: Path, card: Card, domain: str, folds: int) -> None:
    """Check that every fold has enough pictures of a domain."""
    groups = read_rows(dataset, card, domain, "train", ["group"])["group"].to_pylist()
    if (parents := len(set(groups))) < folds:
        raise ValueError(
            f"domain {domain!r} has {parents} groups of pictures to train with, fewer than --folds {folds} "
            "(crops of one picture are one group): use fewer folds or add pictures"
        )
    sizes = Counter(fold_of(group, folds) for group in groups)
    for k in range(folds):
        if sizes[k] < _LEAST:
            raise ValueError(
                f"fold {k + 1} of {folds} has {sizes[k]} pictures of {domain!r} and at least {_LEAST} are needed: "
                "use fewer --folds or add pictures"
            )
