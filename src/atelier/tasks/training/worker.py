"""One worker of a training: its pictures, the loop of `atelier.models.training`, checkpoints and the finished model."""

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import ray.train
import ray.train.torch
import torch

from atelier.models import artifact
from atelier.models import encoders as networks
from atelier.models.checkpoint import load_checkpoint, save_checkpoint
from atelier.models.training import Trainer
from atelier.tasks.images import codec
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.runtime import encoder_weights
from atelier.tasks.runtime.files import write
from atelier.tasks.training.early_stop import EarlyStop, Enough, until_enough
from atelier.tasks.training.journal import GRIDS, JournalWriter
from atelier.tasks.training.loader import BatchLoader
from atelier.tasks.training.plan import CHECKPOINT, MODEL, TrainingPlan
from atelier.tasks.training.throughput import Throughput

IN_PROCESS = "in-process-*.safetensors"  # checkpoints of a training in the calling process, where Ray keeps none
SAMPLES = "samples.png"


def work(settings: dict[str, TrainingPlan]) -> None:
    """Train to the last step, from the last checkpoint where there is one.

    Rank 0 keeps the journal and writes the finished model into the run's folder.
    """
    plan = settings["plan"]
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    if plan.threads:
        logging.getLogger().setLevel(logging.WARNING)  # Ray would announce each checkpoint
        torch.set_num_threads(plan.threads)
    encoder = _encoder(plan.encoder)
    embedded = _encoder(plan.method_config.embedded) if plan.method_config.embedded else None
    device = ray.train.torch.get_device()
    trainer = Trainer(plan.method_config, plan.loop, encoder, device, rank, embedded)
    given = plan.style if trainer.method_config.generates else plan.content
    with BatchLoader(plan, rank, world_size, device) as batches:
        if not _resumed(trainer, plan.run) and plan.initial:
            trainer.start_from(artifact.load(plan.initial, device), batches.style_examples)
        stop = EarlyStop(plan, trainer, encoder, batches.examples, rank == 0) if plan.patience else None
        if rank != 0:
            silent = (lambda step, losses: None, lambda step: _checkpoint(plan, None), lambda step: None)
            _run(trainer, batches, *silent, stop)
            return
        with closing(JournalWriter(plan.run)) as journal:
            started = {"workers": world_size, "device": device.type, "precision": trainer.precision}
            journal.write(kind="start", step=trainer.step, **started)
            figures = Throughput(plan.loop.batch_size, trainer.step, device)

            def on_step(step: int, losses: dict[str, float]) -> None:
                measured = figures.take(step, batches.waited_share())
                journal.write(kind="losses", step=step, losses=losses, figures=measured)

            def on_checkpoint(step: int) -> None:
                with figures.excluded():
                    _checkpoint(plan, trainer)

            def on_sample(step: int) -> None:
                path = plan.run / GRIDS / _grid(step)
                path.parent.mkdir(exist_ok=True)
                with figures.excluded():
                    write(path, _before_and_after(trainer, batches, (given, f"step {step}")))
                journal.write(kind="grid", step=step, file=path.name)

            begun = trainer.step
            due = begun and (begun % plan.loop.sample_every == 0 or begun == plan.loop.steps)
            if due and not (plan.run / GRIDS / _grid(begun)).exists():
                on_sample(begun)  # the kill came between the checkpoint and its grid
            _run(trainer, batches, on_step, on_checkpoint, on_sample, stop)
        _write_model(plan, trainer, batches, stop.restore() if stop else trainer.step)


def _run(
    trainer: Trainer,
    batches: BatchLoader,
    on_step: Callable[[int, dict[str, float]], None],
    on_checkpoint: Callable[[int], None],
    on_sample: Callable[[int], None],
    stop: EarlyStop | None,
) -> None:
    """Train to the last step, or until it is enough."""
    if stop is None:
        trainer.run(batches, on_step, on_checkpoint, on_sample)
        return
    begun = trainer.step
    due = begun % trainer.training.sample_every == 0 or begun == trainer.training.steps
    if due and begun not in stop.distances:
        stop.measure(begun)  # the first weights; or the kill came between the checkpoint and its measurement
    if not stop.enough:
        with contextlib.suppress(Enough):
            trainer.run(batches, on_step, on_checkpoint, until_enough(stop, on_sample))


def _encoder(name: str) -> networks.Encoder:
    return networks.load(name, encoder_weights.resolve(name))


def _grid(step: int) -> str:
    return f"{step:06}.png"


def _resumed(trainer: Trainer, run: Path) -> bool:
    """Load the last checkpoint of the run, if there is one: Ray's, or where Ray has no list the last whole one."""
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as folder:
            load_checkpoint(Path(folder) / CHECKPOINT, trainer)
        return True
    # their names begin with the time, or the step
    for path in sorted([*run.glob(f"checkpoint_*/{CHECKPOINT}"), *run.glob(IN_PROCESS)], reverse=True):
        try:
            load_checkpoint(path, trainer)
        except ValueError:
            continue
        return True
    return False


def _checkpoint(plan: TrainingPlan, trainer: Trainer | None) -> None:
    """Report a checkpoint to Ray: every rank calls, rank 0 with the trainer. In the calling process, keep it here."""
    if plan.threads is None and trainer is not None:
        save_checkpoint(plan.run / IN_PROCESS.replace("*", f"{trainer.step:09}"), trainer)
        for old in sorted(plan.run.glob(IN_PROCESS))[: -plan.keep_checkpoints]:
            old.unlink()
        return
    if trainer is None:
        ray.train.report({})
        return
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / CHECKPOINT, trainer)
        ray.train.report({"step": trainer.step}, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _before_and_after(trainer: Trainer, batches: BatchLoader, labels: tuple[str, str]) -> bytes:
    """A PNG of content pictures above their painted versions, or of style pictures above generated ones.

    Below are rows of the method's own.
    """
    before = batches.style_examples if trainer.method_config.generates else batches.examples  # (B, 3, H, W)
    own = trainer.sample_rows(before)
    rows = [list(x.cpu().permute(0, 2, 3, 1).numpy()) for x in (before, trainer.sample(before), *own.values())]
    return codec.encode(contact_sheet(rows, (*labels, *own), cell_px=before.shape[-1]), "png")


def _write_model(plan: TrainingPlan, trainer: Trainer, batches: BatchLoader, steps: int) -> None:
    """Write the model folder into the run's folder, complete or not at all."""
    temporary, final = plan.run / f".{MODEL}.tmp", plan.run / MODEL
    for path in (temporary, final):
        shutil.rmtree(path, ignore_errors=True)
    facts = plan.facts | {"precision": trainer.precision, "steps": steps}
    artifact.save(temporary, plan.method_config, trainer.generator_ema, facts)
    labels = (plan.style, "generated") if trainer.method_config.generates else ("before", "after")
    write(temporary / SAMPLES, _before_and_after(trainer, batches, labels))
    temporary.replace(final)
