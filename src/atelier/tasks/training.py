"""Training on a Ray cluster: Ray Train places the workers, restarts them and keeps their checkpoints.

A run is named by all that decides its outcome. Started again after a kill, the same training finds its checkpoints and
goes on; any other training starts fresh. The journal that the run writes is followed here, live, and becomes progress,
DVCLive's files and TensorBoard's events.
"""

import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from atelier.models import artifact
from atelier.models.methods.cpgan import CpganConfig
from atelier.models.training import TrainingConfig
from atelier.tasks import dataset, encoders
from atelier.tasks.progress import Progress, Report
from atelier.tasks.training_log import GRIDS, JournalReader, TrainingLogs
from atelier.tasks.training_plan import MODEL, Plan, sha256_of

FORMAT = 1

_KEPT_CHECKPOINTS = 2
_START_ATTEMPTS = 3  # to place the workers, of one minute each
_POLL_S = 0.25


@dataclass(frozen=True)
class TrainConfig:
    """What is trained, on what, and where it runs."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    method: Literal["cpgan"] = field(default="cpgan", metadata={"description": "training method"})
    content: str = field(default="photos", metadata={"description": "domain whose pictures are painted"})
    style: str = field(default="paintings", metadata={"description": "domain whose style is learned"})
    encoder: str = field(
        default="auto",
        metadata={
            "description": "perceptual encoder of the losses; auto takes vgg19 if its weights are found, "
            "else efficientnet_lite0"
        },
    )
    workers: int = field(
        default=1, metadata={"description": "Ray Train workers; 0 trains inside the calling process", "ge": 0}
    )
    device: Literal["auto", "cpu", "gpu"] = field(
        default="auto", metadata={"description": "auto takes a GPU for each worker where the cluster has them"}
    )
    max_failures: int = field(
        default=2, metadata={"description": "restarts from the last checkpoint after a worker died", "ge": 0}
    )
    start_from: str = field(
        default="scratch", metadata={"description": "scratch, or the version whose weights are the first, like v1.2.0"}
    )
    loop: TrainingConfig = field(default_factory=TrainingConfig, metadata={"description": "the training loop"})
    cpgan: CpganConfig = field(default_factory=CpganConfig, metadata={"description": "the method's settings"})


@dataclass(frozen=True)
class TrainSummary:
    """What a training did."""

    run: str  # name of the run, a function of all that decides its outcome
    training_set: str  # its id
    encoder: str
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
) -> TrainSummary:
    """Train a model from a training set, or go on where a killed run of the same training stopped.

    Args:
        config: what is trained, on what, and where.
        data: the training set, as `augment` writes it. All paths must be visible to every node of the cluster.
        out: the model's folder; replaced when the training is complete, untouched before.
        checkpoints: keeps runs that are not finished; runs of other trainings are removed.
        logs: folder for DVCLive's files and TensorBoard's events; replaced.
        report: told steps, losses and the share of time spent waiting for pictures, while training.
        initial: folder of the model that `config.start_from` names.

    Raises:
        FileNotFoundError: there is no training set, or no weights of the encoder.
        ValueError: a domain is not in the training set, or the cluster has no room for the workers.
        RuntimeError: the training failed more often than `max_failures`.
    """
    started = time.monotonic()
    if not (data / dataset.CARD).is_file():
        raise FileNotFoundError(f"{data} holds no training set: run `atelier augment`")
    card = dataset.read_card(data)
    for domain in (config.content, config.style):
        if domain not in card.domains:
            raise ValueError(f"domain {domain!r} is not in the training set {data}: it has {', '.join(card.domains)}")
    if (config.start_from != "scratch") != (initial is not None):
        raise ValueError(f"train.start_from is {config.start_from!r}, but the model to start from is {initial}")
    if config.loop.batch_size % max(1, config.workers):
        raise ValueError(f"batch_size {config.loop.batch_size} cannot be divided among {config.workers} workers")
    if initial:
        artifact.load(initial)  # a damaged one is told before anything starts
    encoder = _encoder(config.encoder)
    facts = {
        "training_set": card.id,
        "dataset": card.facts.get("dataset"),
        "augment": card.facts.get("augment"),
        "content_domain": config.content,
        "style_domain": config.style,
        "encoder": encoder,
        "train": json.loads(json.dumps(asdict(config))),
        "initial": sha256_of(initial) if initial else None,
        "train_format": FORMAT,
    }
    name = "train-" + hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    run = checkpoints.resolve() / name
    _prepare(run)
    gpu, threads = _resources(config)
    plan = Plan(
        config.cpgan, config.loop, encoder, data.resolve(), config.content, config.style,
        initial.resolve() if initial else None, run, threads, facts,
    )  # fmt: skip
    steps, batch = config.loop.steps, config.loop.batch_size
    where = (
        "in this process" if threads is None else f"{config.workers} × {threads} CPUs" + (" and a GPU" if gpu else "")
    )
    report(Progress("train", 0, steps, "steps", f"starting: {where}, encoder {encoder}"))
    fit = _Fit(config, plan, gpu)
    reader, losses = JournalReader(run), {}
    begun: dict[str, Any] = {}
    with TrainingLogs(logs) as written:
        running = True
        while running:
            # what is written before the end is read after it
            running = fit.running(_POLL_S)
            for entry in reader.new():
                step = entry["step"]
                if entry["kind"] == "losses":
                    losses = entry["losses"]
                    written.metrics(step, losses)
                    note = "  ".join(f"{key} {value:.3g}" for key, value in losses.items())
                    note += f"  data wait {entry['data_wait']:.0%}"
                    report(Progress("train", step, steps, "steps", note, images=step * batch))
                elif entry["kind"] == "grid":
                    written.grid(step, run / GRIDS / entry["file"])
                else:
                    begun = entry
    fit.result()
    _publish(run / MODEL, out)
    shutil.rmtree(run)
    return TrainSummary(
        run=name,
        training_set=card.id,
        encoder=encoder,
        device=begun["device"],
        precision=begun["precision"],
        steps=steps,
        resumed_from=begun["step"],
        images=(steps - begun["step"]) * batch,
        seconds=time.monotonic() - started,
        losses=losses,
    )


def cpus_per_worker(nodes: Sequence[float], workers: int) -> int:
    """The largest number of CPUs that each of `workers` can have, when none is divided among nodes.

    Args:
        nodes: CPUs of each node.
        workers: at least 1.

    Raises:
        ValueError: there are fewer CPUs than workers.
    """
    for cpus in range(int(max(nodes, default=0)), 0, -1):
        if sum(int(node // cpus) for node in nodes) >= workers:
            return cpus
    raise ValueError(
        f"train.workers is {workers}, but the Ray cluster has {sum(int(node) for node in nodes)} CPUs: "
        "use fewer workers or add nodes"
    )


class _Fit:
    """Ray Train's `fit` in a thread of its own, so that the calling thread can report, and Ctrl-C stays Python's."""

    def __init__(self, config: TrainConfig, plan: Plan, gpu: bool) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(config, plan, gpu), name="fit", daemon=True)
        self._thread.start()

    def running(self, seconds: float) -> bool:
        """Wait that long, then tell whether the training still runs."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def result(self) -> None:
        """Raise what made the training fail, if it did."""
        if self._error is not None:
            raise _explained(self._error)

    def _run(self, config: TrainConfig, plan: Plan, gpu: bool) -> None:
        from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
        from ray.train.v2.api.config import LoggingConfig

        from atelier.tasks.training_worker import Placed, work

        # how often Ray looks at its workers: its 2 s would be waited out at the end of every training
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
        resources = {"CPU": plan.threads, **({"GPU": 1} if gpu else {})} if plan.threads else None
        try:
            Placed(
                work,
                train_loop_config={"plan": plan},
                scaling_config=ScalingConfig(num_workers=config.workers, use_gpu=gpu, resources_per_worker=resources),
                run_config=RunConfig(
                    name=plan.run.name,
                    storage_path=os.fspath(plan.run.parent),
                    checkpoint_config=CheckpointConfig(num_to_keep=_KEPT_CHECKPOINTS),
                    failure_config=FailureConfig(
                        max_failures=config.max_failures, controller_failure_limit=_START_ATTEMPTS - 1
                    ),
                    # its errors are raised here, and its own log files keep them whole
                    logging_config=LoggingConfig(log_level="CRITICAL"),
                ),
            ).fit()
        except BaseException as error:  # noqa: BLE001 (handed to the calling thread)
            self._error = error


def _explained(error: BaseException) -> BaseException:
    """The error that a person can act on, out of Ray Train's."""
    from ray.train import ControllerError, WorkerGroupError

    if isinstance(error, ControllerError):
        return RuntimeError(
            f"Ray could not start the training workers ({_one_line(error.controller_failure)}): "
            "see what else uses the cluster, or use fewer train.workers"
        )
    if isinstance(error, WorkerGroupError):
        rank, failure = min(error.worker_failures.items())
        cause = getattr(failure, "_base_exc", failure)  # what was raised in the worker, without Ray's wrapping
        if isinstance(cause, (ValueError, FileNotFoundError)):
            return cause
        explained = RuntimeError(f"training failed in worker {rank}: {type(cause).__name__}: {_one_line(cause)}")
        explained.__cause__ = error
        return explained
    return error


def _one_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _encoder(name: str) -> str:
    """The encoder's name, with its weights in place on this machine.

    Raises:
        FileNotFoundError: its weights are not found.
    """
    if name == "auto":
        try:
            encoders.resolve("vgg19")
        except FileNotFoundError:
            name = "efficientnet_lite0"
        else:
            return "vgg19"
    encoders.resolve(name)
    return name


def _resources(config: TrainConfig) -> tuple[bool, int | None]:
    """Whether each worker gets a GPU, and the number of its CPUs, `None` in the calling process."""
    if config.workers == 0:
        return False, None
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    gpu = config.device == "gpu" or (config.device == "auto" and gpus >= config.workers)
    if gpu and gpus < config.workers:
        raise ValueError(f"train.workers is {config.workers}, but the Ray cluster has {gpus} GPUs: use device cpu")
    usable = [node for node in nodes if node.get("GPU", 0) >= 1] if gpu else nodes
    return gpu, cpus_per_worker([node.get("CPU", 0) for node in usable], config.workers)


def _prepare(run: Path) -> None:
    """Make the run's folder; remove what other trainings left, and what a kill made unreadable."""
    run.mkdir(parents=True, exist_ok=True)
    for other in run.parent.iterdir():
        if other != run and re.fullmatch(r"train-[0-9a-f]{16}", other.name):
            shutil.rmtree(other)
    # Ray writes its list of checkpoints in place: a kill can leave half of it, and Ray would refuse to start
    snapshot = run / "checkpoint_manager_snapshot.json"
    if snapshot.exists():
        try:
            kept = {result["checkpoint_dir_name"] for result in json.loads(snapshot.read_text())["checkpoint_results"]}
        except (ValueError, KeyError, TypeError):
            kept = set()
            snapshot.unlink()
    else:
        kept = set()
    for folder in run.glob("checkpoint_*/"):
        if folder.name not in kept:
            shutil.rmtree(folder)


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
