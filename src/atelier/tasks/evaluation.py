"""Evaluate: how far the stylized held-out photographs are from the style, and how much of them is left.

Every distance stands beside its baseline, the same distance of the untouched photographs: the ratio says what the
model achieved, whatever the encoder's units. Intervals are 95 % bootstraps over groups, since crops of one parent are
no independent observations.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.compute as pc
import pyarrow.dataset as pads

from atelier.tasks import encoders
from atelier.tasks.dataset import Card, fold_of, read_card, read_rows, select
from atelier.tasks.evaluation_plots import GRID_COLUMNS, write_plots
from atelier.tasks.images import Pixels
from atelier.tasks.progress import Progress, Report, silent
from atelier.tasks.whole_files import write

FORMAT = 1
RULERS = ("inception", "vgg19", "efficientnet_lite0")  # encoders to measure with, best first
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


@dataclass(frozen=True)
class Ruler:
    """The encoder that measures."""

    encoder: str
    weights: Path
    independent: bool  # it had no part in the loss


@dataclass(frozen=True)
class Picture:
    """A held-out row."""

    id: str
    group: str
    data: bytes


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
        cache: folder that keeps the features of untouched pictures from run to run.
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
    shown = sorted(_spread(photos, config.pairs), key=lambda photo: len(photo.data), reverse=True)
    pairs = ray.remote(_show).options(num_cpus=1).remote(_data(shown), model.resolve(), SHOWN_PX)
    measured, each = measure(config, model, photos, paintings, cache, report)
    metrics = {"split": "holdout", "dataset": card.id[:12], **measured}
    rows = [(p.id[:12], p.group[:12], *values) for p, values in zip(photos, each, strict=True)]
    write_plots(plots, rows, _get(pairs), _data(_spread(paintings, GRID_COLUMNS)))
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
    photo_batches, painting_batches = _batches(photos, config.batch), _batches(paintings, config.batch)
    model, cache = model.resolve(), cache.resolve()
    # each task gives what it measured, which stays on the cluster, and how many pictures that were
    stylized = [stylize.remote(_data(batch), size, model, ruler) for batch in photo_batches]
    kept = [cache / _cache_name(batch, size, ruler) for batch in photo_batches + painting_batches]
    untouched = [
        real.remote(_data(batch), size, ruler, file)
        for batch, file in zip(photo_batches + painting_batches, kept, strict=True)
    ]
    _follow([done for _, done in stylized + untouched], 2 * len(photos) + len(paintings), report)

    groups = [p.group for p in photos], [p.group for p in paintings]
    measured, each = _get(
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
    return {"indicative": few, "size_px": size, "counts": counts, **_rounded(measured)}, each


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
        return Facts(facts["content_domain"], facts["style_domain"], facts["encoder"], int(facts["augment"]["size_px"]))
    except KeyError as error:
        raise ValueError(f"{path} does not name its {error.args[0]}: train again") from error
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): train again or fetch the version again") from error


def choose_ruler(loss_encoder: str) -> Ruler:
    """The best encoder at hand that had no part in the loss; if there is none, the loss's own, and that is said.

    Raises:
        FileNotFoundError: no encoder's weights are at hand.
    """
    for name in (*(name for name in RULERS if name != loss_encoder), loss_encoder):
        try:
            return Ruler(name, encoders.resolve(name), independent=name != loss_encoder)
        except FileNotFoundError as error:
            missing = error
    raise missing


def held_out(folder: Path, card: Card, domain: str, most: int, fold: tuple[int, int] | None = None) -> list[Picture]:
    """Pictures of a domain that training has not seen, the same ones as long as the dataset is the same.

    Args:
        folder: the dataset.
        card: its card.
        domain: whose pictures.
        most: how many at most.
        fold: k and K take the pictures of the training split that are in fold k of K, instead of the held-out split.

    Raises:
        ValueError: there are fewer than two.
    """
    split = "train" if fold else "holdout"
    rows = read_rows(folder, card, domain, split, ["id", "group"]).to_pylist()
    ids = [row["id"] for row in rows if fold is None or fold_of(row["group"], fold[1]) == fold[0]]
    if len(ids) < 2:
        raise ValueError(
            f"{len(ids)} pictures of {domain!r} are held out and at least 2 are needed (the dataset has "
            f"{', '.join(card.domains)}): raise ingest.holdout_share or add pictures"
        )
    ids = sorted(ids, key=lambda i: hashlib.sha256(i.encode()).digest())[:most]  # as good as random, and stable
    shards = select(card.shards, domain, split)
    table = pads.dataset([folder / shard.file for shard in shards], format="parquet").to_table(
        columns=["id", "group", "image"], filter=pc.field("id").isin(ids)
    )
    found = {row["id"]: Picture(row["id"], row["group"], row["image"]["bytes"]) for row in table.to_pylist()}
    return [found[i] for i in ids]


def _real(data: list[bytes], size: int, ruler: Ruler, cache: Path) -> tuple[Any, int]:
    from atelier.tasks import measuring

    return measuring.measure_real(data, size, ruler, cache), len(data)


def _stylized(data: list[bytes], size: int, model: Path, ruler: Ruler) -> tuple[Any, int]:
    from atelier.tasks import measuring

    return measuring.measure_stylized(data, size, model, ruler), len(data)


def _show(data: list[bytes], model: Path, longest: int) -> list[tuple[Pixels, Pixels]]:
    from atelier.tasks import measuring

    return measuring.show(data, model, longest)


def _summarize(
    stylized: list[Any], untouched: list[Any], *rest: Any
) -> tuple[dict[str, Any], list[tuple[float, float]]]:
    import ray

    from atelier.tasks import measuring

    return measuring.summarize(ray.get(stylized), ray.get(untouched), *rest)


def _follow(tasks: list[Any], total: int, report: Report) -> None:
    """Wait for tasks and report how many pictures they have done; the first error ends it."""
    import ray

    done, waiting = 0, tasks
    report(Progress("evaluate", 0, total, "images"))
    while waiting:
        ready, waiting = ray.wait(waiting, num_returns=1)
        done += _get(ready[0])
        report(Progress("evaluate", done, total, "images", images=done))


def _get(ref: Any) -> Any:
    """The task's result, or its own error instead of Ray's with a remote traceback."""
    import ray
    from ray.exceptions import RayTaskError

    try:
        return ray.get(ref)
    except RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from error


def _batches(pictures: list[Picture], batch: int) -> list[list[Picture]]:
    return [pictures[i : i + batch] for i in range(0, len(pictures), batch)]


def _data(pictures: list[Picture]) -> list[bytes]:
    return [picture.data for picture in pictures]


def _spread(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """Some pictures, from as many groups as possible, in a stable order."""
    seen: Counter[str] = Counter()
    turns: list[tuple[int, int]] = []
    for picture in pictures:
        turns.append((seen[picture.group], len(turns)))
        seen[picture.group] += 1
    return [pictures[place] for _, place in sorted(turns)[:count]]


def _cache_name(batch: list[Picture], size: int, ruler: Ruler) -> str:
    key = json.dumps([FORMAT, ruler.encoder, size, [p.id for p in batch]])
    return f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.safetensors"


def _rounded(value: Any) -> Any:
    """Six significant digits: enough for people, and for telling two models apart."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return float(f"{value:.6g}") if isinstance(value, float) else value
