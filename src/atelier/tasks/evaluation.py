"""Evaluate: how far the stylized held-out photographs are from the style, and how much of them is left.

Every distance stands beside its baseline, the same distance of the untouched photographs: the ratio says what the
model achieved, whatever the encoder's units. Intervals are 95 % bootstraps over groups, since crops of one parent are
no independent observations.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from atelier.models.controls import GENERATING
from atelier.tasks import cluster, encoders
from atelier.tasks.attributes import known_to
from atelier.tasks.dataset import read_card, select
from atelier.tasks.evaluation_plots import GRID_COLUMNS, write_plots
from atelier.tasks.held_out import Picture, batches, files, held_out, spread
from atelier.tasks.images import Pixels
from atelier.tasks.progress import Progress, Report, silent
from atelier.tasks.whole_files import write

FORMAT = 3
LPIPS_IN = "alexnet"  # as published scores are given
RULERS = ("inception", "vgg19", "efficientnet_lite0")  # encoders to measure with, best first
CLASSIFIER = ".classifier"  # ends the file of one
SHOWN_PX = 512  # longer side of the pictures that people look at
MANY_GROUPS = 20  # with fewer held-out parents the numbers are called indicative


@dataclass(frozen=True)
class EvaluateConfig:
    """How a model is measured."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    pictures: int = field(
        default=120,
        metadata={"description": "held-out pictures of each domain that are measured, at most", "ge": 2, "le": 50_000},
    )
    batch: int = field(default=16, metadata={"description": "pictures in one task of a worker", "ge": 1, "le": 256})
    resamples: int = field(
        default=1000, metadata={"description": "bootstrap resamples of each interval", "ge": 20, "le": 100_000}
    )
    pairs: int = field(
        default=12, metadata={"description": "pictures shown before and after in the report", "ge": 1, "le": 100}
    )
    seed: int = field(default=0, metadata={"description": "seed of the resamples", "ge": 0})


@dataclass(frozen=True)
class Evaluation:
    """What was measured."""

    path: Path  # evaluation.json
    metrics: dict[str, Any]  # what it holds


@dataclass(frozen=True)
class Facts:
    """What evaluation must know of a model's training."""

    content_domain: str
    style_domain: str
    encoder: str  # of the loss
    size_px: int  # of the training pictures
    method: str

    @property
    def kind(self) -> dict[str, str]:
        """What the model does where it does not paint one domain in the style of another: see `gate.KINDS`."""
        if self.method in GENERATING:
            return {"kind": "generates"}
        return {"kind": "edits"} if self.content_domain == self.style_domain else {}


@dataclass(frozen=True)
class Ruler:
    """The encoder that measures, and LPIPS where it can be had."""

    encoder: str
    weights: Path
    independent: bool  # it had no part in the loss
    lpips: Path | None = None  # weights of `LPIPS_IN`, None where they are not at hand


@dataclass(frozen=True)
class Lesson:
    """What a classifier of attributes learns: the training split of some domains."""

    dataset: Path
    domains: tuple[str, ...]
    names: tuple[str, ...]  # of the attributes
    size: int  # pixels a side that pictures will be told at
    cache: Path  # folder that keeps the classifier from run to run

    @property
    def file(self) -> Path:
        """The classifier that has learned exactly this."""
        shards = read_card(self.dataset).shards
        learned = {domain: [shard.sha256 for shard in select(shards, domain, "train")] for domain in self.domains}
        return self.cache / f"{_key(FORMAT, self.size, self.names, learned)}{CLASSIFIER}"


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
    facts = read_facts(model)
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
    write_plots(plots, rows, cluster.get(pairs), files(spread(paintings, GRID_COLUMNS)), names)
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

    facts = read_facts(model)
    size, ruler = facts.size_px, choose_ruler(facts.encoder)
    real, stylize = (ray.remote(task).options(num_cpus=1, num_returns=2) for task in (_real, _stylized))
    summarize = ray.remote(_summarize).options(num_cpus=1)
    photo_batches, painting_batches = batches(photos, config.batch), batches(paintings, config.batch)
    model, cache = model.resolve(), cache.resolve()
    # each task gives what it measured, which stays on the cluster, and how many pictures that were
    stylized = [
        stylize.remote(files(batch), size, model, ruler, index * config.batch)
        for index, batch in enumerate(photo_batches)
    ]
    kept = [cache / cache_name(batch, size, ruler) for batch in photo_batches + painting_batches]
    untouched = [
        real.remote(files(batch), size, ruler, file)
        for batch, file in zip(photo_batches + painting_batches, kept, strict=True)
    ]
    _follow([done for _, done in stylized + untouched], 2 * len(photos) + len(paintings), report)

    groups = [p.group for p in photos], [p.group for p in paintings]
    measured, each = cluster.get(
        summarize.remote(
            [ref for ref, _ in stylized], [ref for ref, _ in untouched], *groups, ruler, config.resamples, config.seed
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
        for name in measured.keys() & {"kid", "frechet", "style", "artfid"}:
            # what is in the style already is no baseline
            measured[name] = {k: v for k, v in measured[name].items() if k != "photos" and not k.startswith("ratio")}
    return {**facts.kind, "indicative": few, "size_px": size, "counts": counts, **rounded(measured)}, each


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

    facts, names = read_facts(model), known_to(model)
    if not names:
        return {}
    held = {facts.content_domain: photos, facts.style_domain: paintings}  # one where both domains are
    lesson = Lesson(dataset.resolve(), tuple(held), names, facts.size_px, cache.resolve())
    judge, summarize = (ray.remote(task).options(num_cpus=1) for task in (_judge, _summarize_edits))
    edit = ray.remote(_edited).options(num_cpus=1, num_returns=2)
    by = judge.remote(lesson, held)
    edited = [
        edit.remote(files(batch), lesson.size, model.resolve(), by, _lpips()) for batch in batches(photos, config.batch)
    ]
    _follow([done for _, done in edited], len(photos), report, "attributes")
    forget_classifiers(lesson.cache, [lesson.file])
    found: dict[str, Any] = rounded(cluster.get(summarize.remote(by, [ref for ref, _ in edited])))
    return found


def read_facts(model: Path) -> Facts:
    """What a model says of its training.

    Raises:
        FileNotFoundError: there is no model.
        ValueError: its `model.json` does not tell.
    """
    path = model / "model.json"
    if not path.is_file():
        raise FileNotFoundError(f"{model} holds no model (model.json is missing): run `atelier train`")
    try:
        facts = json.loads(path.read_bytes())
        domains = facts["content_domain"], facts["style_domain"]
        return Facts(*domains, facts["encoder"], int(facts["augment"]["size_px"]), facts["method"])
    except KeyError as error:
        raise ValueError(f"{path} does not name its {error.args[0]}: train again") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): train again or fetch the version again") from error


def choose_ruler(*loss_encoders: str) -> Ruler:
    """The best encoder at hand that had no part in any loss; if there is none, the best there is, and that is said.

    Args:
        loss_encoders: of the models that are measured.

    Raises:
        FileNotFoundError: no encoder's weights are at hand.
    """
    for name in sorted(RULERS, key=lambda name: name in loss_encoders):
        try:
            return Ruler(name, encoders.resolve(name), name not in loss_encoders, _lpips())
        except FileNotFoundError as error:
            missing = error
    raise missing


def _lpips() -> Path | None:
    try:
        return encoders.resolve(LPIPS_IN)
    except FileNotFoundError:
        return None


def _real(data: list[bytes], size: int, ruler: Ruler, cache: Path) -> tuple[Any, int]:
    from atelier.tasks import measuring

    return measuring.measure_real(data, size, ruler, cache), len(data)


def _stylized(data: list[bytes], size: int, model: Path, ruler: Ruler, first: int) -> tuple[Any, int]:
    from atelier.tasks import measuring

    return measuring.measure_stylized(data, size, model, ruler, first), len(data)


def _show(data: list[bytes], model: Path, longest: int) -> list[tuple[Pixels, Pixels]]:
    from atelier.tasks import measuring

    return measuring.show(data, model, longest)


def _judge(lesson: Lesson, held: dict[str, list[Picture]]) -> Any:
    from atelier.tasks import edits

    return edits.judge(lesson, held)


def _edited(data: list[bytes], *rest: Any) -> tuple[Any, int]:
    from atelier.tasks import edits

    return edits.edit(data, *rest), len(data)


def _summarize_edits(judge: Any, edited: list[Any]) -> dict[str, Any]:
    import ray

    from atelier.tasks import edits

    return edits.summarize(judge, ray.get(edited))


def _summarize(
    stylized: list[Any], untouched: list[Any], *rest: Any
) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    import ray

    from atelier.tasks import measuring

    return measuring.summarize(ray.get(stylized), ray.get(untouched), *rest)


def _follow(tasks: list[Any], total: int, report: Report, note: str = "") -> None:
    """Wait for tasks and report how many pictures they have done; the first error ends it."""
    import ray

    done, waiting = 0, tasks
    report(Progress("evaluate", 0, total, "images", note))
    while waiting:
        ready, waiting = ray.wait(waiting, num_returns=1)
        done += cluster.get(ready[0])
        report(Progress("evaluate", done, total, "images", note, images=done))


def cache_name(batch: list[Picture], size: int, ruler: Ruler) -> str:
    """The file of the features of exactly these pictures, at this size, in this encoder."""
    return f"{_key(FORMAT, ruler.encoder, size, [p.id for p in batch])}.safetensors"


def forget_classifiers(cache: Path, kept: Iterable[Path]) -> None:
    """Remove all classifiers of attributes from a folder but those that are named."""
    for stale in set(cache.glob(f"*{CLASSIFIER}")) - set(kept):
        stale.unlink(missing_ok=True)


def _key(*decides: Any) -> str:
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:24]


def rounded(value: Any) -> Any:
    """Six significant digits: enough for people, and for telling two models apart."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value
