"""What a bulk job would do, how long it would take and how large it would be, from a sample that is thrown away."""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from atelier.models.card import ModelIdentity
from atelier.models.controls import check
from atelier.tasks.bulk.inputs import Selection, evenly_spaced, list_inputs
from atelier.tasks.bulk.job import JobFolder
from atelier.tasks.bulk.ledger import Ledger
from atelier.tasks.bulk.messages import TASK_SCHEMA, JobSpec
from atelier.tasks.bulk.pool import execution_for, run_on_worker, worker_count
from atelier.tasks.bulk.worker import StylizeWorker
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.controls import controls_from_config
from atelier.tasks.inference.execution_plan import ExecutionPlan
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.runtime.cluster import connected_keeping_sigterm
from atelier.tasks.storage.open_destination import open_destination

WARM_UP, SAMPLE = 2, 24  # pictures: the first are not timed


@dataclass(frozen=True)
class DryRun:
    """What is to be expected. Nothing has been written."""

    total: int  # inputs
    settled: int  # that an earlier run of the job has brought to an end
    unreadable: int  # that would go to quarantine without being opened
    no_pictures: int  # that would be skipped for their names
    pictures: int  # that would be stylized
    sampled: int  # of these, tried and timed
    failed: int  # of the sample, that would go to quarantine
    workers: int
    images_per_second: float  # of all workers together; an upper bound where these share what limits them
    minutes: float  # without what it takes to start
    gigabytes: float  # of the outputs
    free_gigabytes: float | None  # at the destination, None where nobody can tell
    plan: ExecutionPlan | None  # how the model would be run; None where there is nothing to do

    @property
    def summary(self) -> str:
        """What a person wants to know."""
        lines = [
            f"{self.total:,} inputs: {self.pictures:,} to be stylized, {self.settled:,} settled, "
            f"{self.no_pictures:,} no pictures by their names, {self.unreadable:,} not readable"
        ]
        if self.plan is not None:
            plan = f"{self.plan.backend} in {self.plan.precision} on {self.plan.device}"
            lines.append(
                f"about {self.minutes:,.1f} minutes at {self.images_per_second:,.1f} images/s "
                f"({self.workers} workers, {plan}), about {self.gigabytes:,.2f} GB"
            )
            lines.append(f"from {self.sampled} pictures, {self.failed} of which would go to quarantine")
        if self.free_gigabytes is not None:
            lines.append(f"{self.free_gigabytes:,.1f} GB are free; nothing was written")
        return "\n".join(lines)


def dry_run(
    sources: Sequence[str],
    destination: str | Path,
    model: Path,
    config: StylizeConfig,
    identity: ModelIdentity,
    *,
    connect: Callable[[], object],
    base: Path,
    selection: Selection,
) -> DryRun:
    """Look at a job without doing it; the arguments are those of `stylization.stylize`.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError, RuntimeError: as `stylize`.
    """
    controls = controls_from_config(config, base)
    check(identity.method, controls)
    inputs = list_inputs(list(sources), base, selection)
    job = JobFolder(open_destination(destination))
    since = job.manifest().get("since", 1)
    waiting = inputs.filter(pc.equal(job.standing(inputs, since).rows["state"], "pending"))
    unreadable = pc.not_equal(waiting["problem"], "")
    todo = waiting.filter(pc.and_(pc.invert(unreadable), pc.invert(waiting["other"])))
    found = DryRun(
        total=inputs.num_rows,
        settled=inputs.num_rows - waiting.num_rows,
        unreadable=pc.sum(unreadable).as_py() or 0,
        no_pictures=pc.sum(pc.and_(pc.invert(unreadable), waiting["other"])).as_py() or 0,
        pictures=todo.num_rows,
        sampled=0, failed=0, workers=0, images_per_second=0.0, minutes=0.0, gigabytes=0.0,
        free_gigabytes=_free_gigabytes(destination), plan=None,
    )  # fmt: skip
    if not todo.num_rows:
        return found
    with connected_keeping_sigterm(connect):
        execution = execution_for(model.absolute(), controls, config.execution, job.plan(), todo.num_rows)
        order = JobSpec("", model.absolute(), identity, config, controls, execution, 1)
        sampled = _sample(todo)
        seconds, states, sizes = run_on_worker(_try, sampled, order, gpu=execution.plan.device == "cuda")
        workers = worker_count(execution.plan)
    rate = len(states) / seconds * workers
    return replace(
        found,
        sampled=len(states),
        failed=len(states) - len(sizes),
        workers=workers,
        images_per_second=round(rate, 2),
        minutes=round(todo.num_rows / rate / 60, 2),
        gigabytes=round(sum(sizes) / len(states) * todo.num_rows / 1e9, 4),
        plan=execution.plan,
    )


def _sample(todo: pa.Table) -> pa.Table:
    """Tasks (schema `TASKS`) from all parts of the job."""
    chosen = evenly_spaced(todo, WARM_UP + SAMPLE)
    outputs = pa.array([f"{index}" for index in range(chosen.num_rows)])
    return chosen.append_column("output", outputs).select(TASK_SCHEMA.names)


def _try(tasks: pa.Table, order: JobSpec) -> tuple[float, list[str], list[int]]:
    """Do the tasks for real, into a folder that goes away: seconds, states, and bytes of each output."""
    with tempfile.TemporaryDirectory() as folder:
        stylist = StylizeWorker(replace(order, destination=folder))
        (Path(folder) / RESERVED).mkdir()
        timed = tasks.slice(min(WARM_UP, tasks.num_rows - 1))
        stylist(tasks.slice(0, tasks.num_rows - timed.num_rows or 1))
        begun = time.perf_counter()
        answer: Any = stylist(timed)
        seconds = time.perf_counter() - begun
        if stopped := [row for row in answer.to_pylist() if row["state"] == "pending"]:
            raise ValueError(stopped[0]["reason"])
        rows = Ledger(Path(folder) / RESERVED / "ledger").read()
        sizes = rows.filter(pc.and_(pc.equal(rows["state"], "done"), pc.is_in(rows["input"], timed["input"])))["bytes"]
    return seconds, answer["state"].to_pylist(), sizes.to_pylist()


def _free_gigabytes(destination: str | Path) -> float | None:
    """Space at a destination, or where it would be made."""
    place = open_destination(destination)
    try:
        return None if (free := place.free_bytes()) is None else round(free / 1e9, 2)
    except FileNotFoundError:
        parent = next(folder for folder in Path(place.location).parents if folder.exists())
        return round(shutil.disk_usage(parent).free / 1e9, 2)
