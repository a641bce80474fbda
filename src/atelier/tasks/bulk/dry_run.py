"""The dry run of a bulk job: work, duration and size of the outputs, estimated from a sample that is thrown away.

What a run would refuse at its start is refused here with the same message.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from atelier.tasks.bulk import failure_limit
from atelier.tasks.bulk.admission import check_job
from atelier.tasks.bulk.inputs import count_by_kind, evenly_spaced, kinds_text, list_inputs
from atelier.tasks.bulk.job import JobFolder
from atelier.tasks.bulk.ledger import Ledger
from atelier.tasks.bulk.manifest import check_space
from atelier.tasks.bulk.messages import JobSpec, picture_tasks
from atelier.tasks.bulk.pool import WorkerPool, executions_for, job_steps, worker_count
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.worker import StylizeWorker
from atelier.tasks.inference.execution_plan import ExecutionPlan
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.runtime.cluster import connected_keeping_sigterm

WARM_UP, SAMPLE = 2, 24  # pictures: the first are not timed


@dataclass(frozen=True)
class DryRun:
    """The estimate of a job."""

    total: int  # inputs
    settled: int  # finished by an earlier run
    unreadable: int  # would be quarantined without being opened
    no_pictures: int  # would be skipped for their names
    skipped_kinds: dict[str, int]  # these by kind
    pictures: int  # would be stylized
    sampled: int  # of these, stylized and timed
    failed: int  # of the sample, would be quarantined
    workers: int
    images_per_second: float  # of all workers together; an upper bound where they share a limit
    minutes: float  # without the start
    gigabytes: float  # of the outputs
    free_gigabytes: float | None  # at the destination, None where unknown
    plan: ExecutionPlan | None  # how the first model would be run; None without work
    then: tuple[ExecutionPlan, ...]  # how the further ones would

    @property
    def summary(self) -> str:
        """The estimate in a few lines."""
        lines = [
            f"{self.total:,} inputs: {self.pictures:,} to be stylized, {self.settled:,} settled, "
            f"{self.no_pictures:,} no pictures by their names, {self.unreadable:,} not readable"
        ]
        if self.skipped_kinds:
            lines.append(f"no pictures: {kinds_text(self.skipped_kinds)}")
        if self.plan is not None:
            plans = (f"{plan.backend} in {plan.precision}" for plan in (self.plan, *self.then))
            plan = f"{', then '.join(plans)} on {self.plan.device}"
            time = "less than a minute" if self.minutes < 1 else f"about {self.minutes:,.1f} minutes"
            lines.append(
                f"{time} at {self.images_per_second:,.1f} images/s "
                f"({self.workers} workers, {plan}), about {self.gigabytes:,.2f} GB"
            )
            lines.append(f"from {self.sampled} pictures, {self.failed} of which would go to quarantine")
        if self.free_gigabytes is not None:
            lines.append(f"{self.free_gigabytes:,.1f} GB are free; nothing was written")
        return "\n".join(lines)


def dry_run(request: StylizeRequest, *, connect: Callable[[], object]) -> DryRun:
    """Estimate a job without running it.

    Args:
        request: the job.
        connect: connects to Ray; called only when there is work.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError, RuntimeError: as `stylize`.
    """
    job, inputs, waiting = pending_inputs(request)
    config, destination = request.config, job.destination
    unreadable = pc.not_equal(waiting["problem"], "")
    todo = waiting.filter(pc.and_(pc.invert(unreadable), pc.equal(waiting["skipped"], "")))
    check_space(destination, todo, request.scale)
    found = DryRun(
        total=inputs.num_rows,
        settled=inputs.num_rows - waiting.num_rows,
        unreadable=pc.sum(unreadable).as_py() or 0,
        no_pictures=pc.sum(pc.and_(pc.invert(unreadable), pc.not_equal(waiting["skipped"], ""))).as_py() or 0,
        skipped_kinds=count_by_kind(waiting["skipped"]),
        pictures=todo.num_rows,
        sampled=0, failed=0, workers=0, images_per_second=0.0, minutes=0.0, gigabytes=0.0,
        free_gigabytes=None if (free := destination.free_bytes()) is None else round(free / 1e9, 2), plan=None, then=(),
    )  # fmt: skip
    if not todo.num_rows:
        return found
    with connected_keeping_sigterm(connect), contextlib.closing(WorkerPool()) as pool:
        spec = JobSpec("", job_steps(request, request.controls(), job.plans()), config, 1)
        pool.start(1, 0, gpu=spec.device == "cuda")
        spec = spec.with_executions(executions_for(pool, spec, todo.num_rows))
        seconds, states, sizes = pool.run(_stylize_sample, _sample(todo), spec)
        workers = worker_count(spec.device)
    rate = len(states) / seconds * workers
    return replace(
        found,
        sampled=len(states),
        failed=len(states) - len(sizes),
        workers=workers,
        images_per_second=round(rate, 2),
        minutes=round(todo.num_rows / rate / 60, 2),
        gigabytes=round(sum(sizes) / len(states) * todo.num_rows / 1e9, 4),
        plan=spec.plans[0],
        then=spec.plans[1:],
    )


def pending_inputs(request: StylizeRequest) -> tuple[JobFolder, pa.Table, pa.Table]:
    """The job folder of a request, all its inputs, and those that no earlier run has finished; schema `INPUT_SCHEMA`.

    Raises:
        FileNotFoundError, NotADirectoryError, ValueError, RuntimeError: as `check_job` and `list_inputs`, the job's
            state is damaged, or too many inputs are quarantined.
    """
    job, since = check_job(request)
    inputs = list_inputs(request.sources, request.base, request.selection)
    state = job.state(inputs, since, retry=request.rerun.retry_quarantined)
    failure_limit.enforce(state.counts, request.rerun.max_quarantine, job.destination)
    return job, inputs, inputs.filter(pc.equal(state.rows["state"], "pending"))


def _sample(todo: pa.Table) -> pa.Table:
    """Tasks (`TASK_SCHEMA`) from all parts of the job."""
    chosen = evenly_spaced(todo, WARM_UP + SAMPLE)
    return picture_tasks(chosen, pa.array([f"{index}" for index in range(chosen.num_rows)]))


def _stylize_sample(tasks: pa.Table, spec: JobSpec) -> tuple[float, list[str], list[int]]:
    """Stylize tasks into a temporary folder: seconds, state of each task, and bytes of each output."""
    with tempfile.TemporaryDirectory() as folder:
        worker = StylizeWorker(replace(spec, destination=folder))
        (Path(folder) / RESERVED).mkdir()
        timed = tasks.slice(min(WARM_UP, tasks.num_rows - 1))
        worker(tasks.slice(0, tasks.num_rows - timed.num_rows or 1))
        begun = time.perf_counter()
        results: Any = worker(timed)
        seconds = time.perf_counter() - begun
        if stopped := [row for row in results.to_pylist() if row["state"] == "pending"]:
            raise ValueError(stopped[0]["reason"])
        rows = Ledger(Path(folder) / RESERVED / "ledger").read()
        sizes = rows.filter(pc.and_(pc.equal(rows["state"], "done"), pc.is_in(rows["input"], timed["input"])))["bytes"]
    return seconds, results["state"].to_pylist(), sizes.to_pylist()
