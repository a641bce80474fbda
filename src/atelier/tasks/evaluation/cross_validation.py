"""Folds: K-fold cross-validation on the training split. The held-out split is not touched.

A fold is a share of the groups, so no parent is on both sides. Each fold is left out of a training and then measured as
`evaluate` measures the held-out split; what differs between folds says how much a score owes to the pictures it was
taken on. Finished folds are kept by all that decides their outcome, so a killed run continues with those that are left.
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
from atelier.tasks.dataset.subsets import held_out
from atelier.tasks.evaluation.evaluate import measure, measurement
from atelier.tasks.evaluation.metrics import CHECKERBOARD, CORRELATION, INVERSION, KID, SSIM, STYLE, value
from atelier.tasks.evaluation.protocol import EvaluateConfig, choose_encoder
from atelier.tasks.runtime.files import write
from atelier.tasks.runtime.progress import Progress, Report
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.training.train import facts_of, train
from atelier.tasks.workspace.format_versions import EVALUATE

MEASURES = tuple(
    one.key
    for one in (KID, KID.ratio, STYLE, STYLE.ratio, SSIM, INVERSION, CORRELATION, CHECKERBOARD, CHECKERBOARD.ratio)
)

_LEAST = 2  # pictures of a domain in a fold: fewer have no distribution to measure


@dataclass(frozen=True)
class Spread:
    """A measure over the folds."""

    mean: float
    deviation: float  # standard deviation of the folds
    each: tuple[float, ...]  # in the order of the folds


@dataclass(frozen=True)
class Folds:
    """What cross-validation found."""

    folds: int
    training_set: str  # its id
    metrics: tuple[str, str]  # what KID and the style distance were measured in
    pictures: tuple[dict[str, int], ...]  # of each fold: pictures and groups of both domains that were measured
    measures: dict[str, Spread]  # by their names in reports/evaluation.json
    path: Path  # folds.json

    @property
    def table(self) -> list[dict[str, Any]]:
        """A row for each measure, for people."""
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


def check(config: TrainConfig, folds: int) -> None:
    """See that a training can be cross-validated, before anything is started.

    Raises:
        ValueError: it can not.
    """
    if folds < 2:
        raise ValueError(f"--folds is {folds}: at least 2 are needed, one to measure and one to train on")
    if config.start_from != "scratch":
        raise ValueError(
            f"train.start_from is {config.start_from}, whose weights have seen the pictures that folds leave out: "
            "set it to scratch to cross-validate"
        )


def cross_validate(
    config: TrainConfig,
    evaluate: EvaluateConfig,
    folds: int,
    dataset: Path,
    data: Path,
    runs: Path,
    out: Path,
    report: Report,
) -> Folds:
    """Train without each fold in turn and measure on it; Ray must be connected.

    Args:
        config: how to train.
        evaluate: how to measure.
        folds: K, at least 2.
        dataset: the dataset; of it only the training split is read.
        data: the training set that was made from it.
        runs: keeps what is finished. All paths must be visible to every node of the cluster.
        out: folds.json.
        report: told the steps of all folds.

    Raises:
        FileNotFoundError: there is no training set, or no encoder's weights.
        ValueError: there are too few pictures for so many folds.
        RuntimeError: a training failed, or the training set changed meanwhile.
    """
    check(config, folds)
    known, card = read_card(dataset), read_card(data)
    for domain in (config.content, config.style):
        _check_domain(dataset, known, domain, folds)
    facts = facts_of(config, card)
    # pictures that are only shown decide nothing
    decides = [facts, known.id, asdict(replace(evaluate, pairs=1)), EVALUATE, folds]
    decides.append(choose_encoder(facts["encoder"]).name)
    run = runs / hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
    for left in runs.glob("*/fold-*/"):
        if left.parent != run:
            shutil.rmtree(left)  # begun with other parameters: its checkpoints are large
    steps, batch = config.loop.steps, config.loop.batch_size

    found: list[dict[str, Any]] = []
    for k in range(folds):
        name, kept = f"fold {k + 1}/{folds}", run / f"fold-{k}.json"

        def told(progress: Progress, k: int = k, name: str = name) -> None:
            measuring = progress.stage == "evaluate"
            done = k * steps + (steps if measuring else progress.done)
            note = f"measured {progress.done}/{progress.total} images" if measuring else progress.note
            report(Progress("folds", done, folds * steps, "steps", f"{name}  {note}", images=done * batch))

        if not kept.is_file():
            work = run / f"fold-{k}"
            model = work / "model"
            if not model.is_dir():  # it is placed when it is whole
                try:
                    made = train(config, data, model, work / "checkpoints", work / "logs", told, fold=(k, folds))
                except RuntimeError as error:
                    raise RuntimeError(f"{name}: {error}") from error
                if made.training_set != card.id:
                    raise RuntimeError(f"{data} changed while folds were trained on it: run the same command again")
            photos, paintings = (
                held_out(dataset, known, domain, evaluate.pictures, (k, folds))
                for domain in (config.content, config.style)
            )
            on = measurement(evaluate, model, photos, paintings, work / "features")
            metrics, _ = measure(model, on, told)
            write(kept, json.dumps(metrics, indent=2).encode() + b"\n")
        shutil.rmtree(run / f"fold-{k}", ignore_errors=True)  # also of a run that was killed before it did
        found.append(json.loads(kept.read_text()))
    return _written(found, card.id, out)


def _written(found: list[dict[str, Any]], training_set: str, out: Path) -> Folds:
    measures = {}
    for name in MEASURES:
        numbers = tuple(value(metrics, name) for metrics in found)
        measures[name] = Spread(float(f"{fmean(numbers):.6g}"), float(f"{stdev(numbers):.6g}"), numbers)
    result = Folds(
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
    """See that every fold has pictures of a domain.

    Raises:
        ValueError: one has too few.
    """
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
