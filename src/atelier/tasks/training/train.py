"""Training on a Ray cluster: Ray Train places the workers, restarts them and keeps their checkpoints.

A run is named by all that decides its outcome. Started again after a kill, the same training finds its checkpoints and
goes on; any other training starts fresh. The journal that the run writes is followed here, live, and becomes progress,
DVCLive's files and TensorBoard's events.
"""

import contextlib
import hashlib
import json
import re
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atelier.models import artifact
from atelier.models.card import MODEL_CARD, WEIGHTS, weights_sha256
from atelier.models.checkpoint import is_whole
from atelier.tasks.dataset import labels, shards
from atelier.tasks.runtime import encoder_weights
from atelier.tasks.runtime.files import write
from atelier.tasks.runtime.progress import Progress, Report
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.training.journal import GRIDS, JournalReader, TrainingLogs
from atelier.tasks.training.placement import SNAPSHOT, FitThread, Placement, place, trains_on_gpu
from atelier.tasks.training.plan import CHECKPOINT, MODEL, TrainingPlan
from atelier.tasks.workspace.format_versions import TRAIN

_POLL_S = 0.25
_NOTE_WIDTH = 48  # characters of losses in a line of progress
_QUIET = ("_lr", "_norm", "_accuracy")  # metrics that are logged only


@dataclass(frozen=True)
class TrainSummary:
    """The result of a training."""

    run: str  # name of the run, a function of all that decides its outcome
    training_set: str  # its id
    encoder: str
    workers: int  # at its end, 0 in the calling process
    device: str  # "cpu" or "cuda"
    precision: str
    steps: int
    resumed_from: int  # step of the checkpoint that the last start found, 0 when there was none
    images: int  # pictures of the content domain seen by this call
    seconds: float  # of this call, with the start of the workers
    losses: dict[str, float]  # means over the last logged steps


def train(
    config: TrainConfig,
    data: Path,
    out: Path,
    checkpoints: Path,
    logs: Path,
    report: Report,
    initial: Path | None = None,
    fold: tuple[int, int] | None = None,
) -> TrainSummary:
    """Train a model from a training set, or go on where a killed run of the same training stopped.

    Args:
        data: the training set, as `augment` writes it. All paths must be visible to every node of the cluster.
        out: the model's folder; replaced when the training is complete, untouched before.
        checkpoints: keeps runs that are not finished; runs of other trainings are removed.
        logs: folder for DVCLive's files and TensorBoard's events; replaced.
        fold: k and K leave the groups of fold k of K out of training.

    Raises:
        FileNotFoundError: there is no training set, or no weights of the encoder.
        ValueError: a domain is not in the training set, or the cluster has no room for `min_workers`.
        TrainingStopped: the watchdog ended it, as the message says; the last checkpoint and the logs stay.
        RuntimeError: the training failed more often than `max_failures`.
    """
    started = time.monotonic()
    card = _checked_card(config, data, initial)
    plan, placement = _plan(config, card, data, checkpoints, initial, fold)
    fit = FitThread(plan, placement, config.max_failures)
    start, losses = _follow(fit, plan, placement, logs, report)
    fit.result()
    _publish(plan.run / MODEL, out)
    shutil.rmtree(plan.run)
    return TrainSummary(
        run=plan.run.name,
        training_set=card.id,
        encoder=plan.encoder,
        workers=start["workers"] if placement else 0,
        device=start["device"],
        precision=start["precision"],
        steps=config.loop.steps,
        resumed_from=start["step"],
        images=(config.loop.steps - start["step"]) * config.loop.batch_size,
        seconds=time.monotonic() - started,
        losses=losses,
    )


def _checked_card(config: TrainConfig, data: Path, initial: Path | None) -> shards.Card:
    """The card of the training set, when the settings fit it, each other and the model to start from."""
    if not (data / shards.CARD).is_file():
        raise FileNotFoundError(f"{data} holds no training set: run `atelier augment`")
    card = shards.read_card(data)
    for domain in (config.content, config.style):
        if domain not in card.domains:
            raise ValueError(f"domain {domain!r} is not in the training set {data}: it has {', '.join(card.domains)}")
    if (config.start_from != "scratch") != (initial is not None):
        raise ValueError(f"train.start_from is {config.start_from!r}, but the model to start from is {initial}")
    if config.loop.batch_size < config.workers:
        raise ValueError(f"train.loop.batch_size is {config.loop.batch_size}: too few for {config.workers} workers")
    if 0 < config.workers < config.min_workers:
        raise ValueError(f"train.min_workers is {config.min_workers}: more than train.workers, {config.workers}")
    if (names := config.method_config.labels) is not None:
        labels.check_labels(data, card, (config.content, config.style), names)
    config.check_size(card.facts.get("augment", {}).get("size_px", 0))
    if initial:
        artifact.load(initial)  # fails here where it is damaged, before anything starts
    return card


def _plan(
    config: TrainConfig,
    card: shards.Card,
    data: Path,
    checkpoints: Path,
    initial: Path | None,
    fold: tuple[int, int] | None,
) -> tuple[TrainingPlan, Placement | None]:
    """The plan of a training, whose run folder is made ready, and its workers; None trains in this process."""
    settings, facts = _settings(config.method_config, card), facts_of(config, card, initial, fold)
    name = "train-" + hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    run = checkpoints.resolve() / name
    _prepare(run, config.keep_checkpoints)
    placement = place(config.workers, config.min_workers, config.device) if config.workers else None
    plan = TrainingPlan(
        method_config=settings,
        loop=config.loop,
        encoder=facts["encoder"],
        data=data.resolve(),
        content=config.content,
        style=config.style,
        initial=_kept(initial, run) if initial else None,
        run=run,
        threads=placement.cpus if placement else None,
        facts=facts,
        shuffle_rows=config.shuffle_rows,
        fold=fold,
        keep_checkpoints=config.keep_checkpoints,
        patience=config.patience,
    )
    return plan, placement


def _follow(
    fit: FitThread, plan: TrainingPlan, placement: Placement | None, logs: Path, report: Report
) -> tuple[dict[str, Any], dict[str, float]]:
    """Turn the journal of a running training into logs and progress; its last start and last losses at its end."""
    steps, batch = plan.loop.steps, plan.loop.batch_size
    where = placement or "in this process"
    report(Progress("train", 0, steps, "steps", f"starting: {where}, encoder {plan.encoder}"))
    reader, start, losses, running = JournalReader(plan.run), dict[str, Any](), dict[str, float](), True
    with TrainingLogs(logs) as written:
        while running:
            running = fit.running(_POLL_S)  # what is written before the end is read after it
            for entry in reader.new():
                step = entry["step"]
                if entry["kind"] == "losses":
                    losses = entry["losses"]
                    written.metrics(step, losses | entry["figures"])
                    report(Progress("train", step, steps, "steps", _note(entry), images=step * batch))
                elif entry["kind"] == "grid":
                    written.grid(step, plan.run / GRIDS / entry["file"])
                else:
                    start = entry
                    if step or entry["workers"] != (placement.now if placement else 1):
                        note = f"continuing from step {step}" if step else "beginning"
                        note += f", workers: {entry['workers']}"
                        report(Progress("train", step, steps, "steps", note, step * batch))
    return start, losses


def facts_of(
    config: TrainConfig, card: shards.Card, initial: Path | None = None, fold: tuple[int, int] | None = None
) -> dict[str, Any]:
    """All that decides the outcome of a training: equal facts, equal model; they become part of its card.

    Raises:
        FileNotFoundError: the encoder's weights are not found.
    """
    facts = {
        "training_set": card.id,
        "dataset": card.facts.get("dataset"),
        "augment": card.facts.get("augment"),
        "content_domain": config.content,
        "style_domain": config.style,
        "encoder": _encoder(config),
        "train": config.facts(),
        "initial": weights_sha256(initial) if initial else None,
        "train_format": TRAIN,
    }
    return facts | ({"fold": list(fold)} if fold else {})


def _settings(settings: Any, card: shards.Card) -> Any:
    """A method's settings, with the size of the training set's pictures where they leave it open."""
    if getattr(settings, "size_px", None) != 0:
        return settings
    return replace(settings, size_px=card.facts.get("augment", {}).get("size_px", 0))


def _note(entry: dict[str, Any]) -> str:
    """One line of progress: the first losses, and the share of time spent waiting for pictures."""
    note = ""
    for name, value in entry["losses"].items():
        loss = f"{name} {value:.3g}  "
        if not name.endswith(_QUIET) and len(note + loss) <= _NOTE_WIDTH:
            note += loss
    return f"{note}data wait {entry['figures']['data_wait']:.0%}"


def _encoder(config: TrainConfig) -> str:
    """The name of the encoder, whose weights are on this machine."""
    name = config.encoder
    if name == "auto":
        name = "efficientnet_lite0"
        if trains_on_gpu(config.workers, config.min_workers, config.device):
            with contextlib.suppress(FileNotFoundError):
                encoder_weights.resolve("vgg19")
                return "vgg19"
    encoder_weights.resolve(name)
    return name


def _kept(initial: Path, run: Path) -> Path:
    """A copy of the model to start from, in the run's folder, which every node sees."""
    folder = run / "initial"
    for name in (MODEL_CARD, WEIGHTS):
        write(folder / name, (initial / name).read_bytes())
    return folder


def _prepare(run: Path, keep: int) -> None:
    """Make the run's folder; remove runs of other trainings, and checkpoints that a kill cut off."""
    run.mkdir(parents=True, exist_ok=True)
    for other in run.parent.iterdir():
        if other != run and re.fullmatch(r"train-[0-9a-f]{16}", other.name):
            shutil.rmtree(other)
    whole = []
    for folder in sorted(run.glob("checkpoint_*/")):
        if is_whole(folder / CHECKPOINT):
            whole.append(folder)
        else:
            shutil.rmtree(folder)
    if [folder.name for folder in whole] != _listed(run / SNAPSHOT):
        # the kill came before Ray listed the last checkpoint; without a list, the worker takes the last whole one
        (run / SNAPSHOT).unlink(missing_ok=True)
        for folder in whole[:-keep]:
            shutil.rmtree(folder)


def _listed(snapshot: Path) -> list[str]:
    """Names of the checkpoints in Ray's list; none of a list that is cut off, since Ray writes it in place."""
    try:
        return [result["checkpoint_dir_name"] for result in json.loads(snapshot.read_text())["checkpoint_results"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []


def _publish(model: Path, out: Path) -> None:
    """Put the finished model in its place, complete or not at all."""
    out = out.resolve()
    new, old = (out.with_name(f".{out.name}.{suffix}") for suffix in ("new", "old"))
    for path in (new, old):
        shutil.rmtree(path, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(model, new)
    if out.exists():
        out.replace(old)
    new.replace(out)
    shutil.rmtree(old, ignore_errors=True)
