"""The dry run of a bulk job: work, duration and size of the outputs, estimated from a sample that is thrown away.

What a run would refuse at its start is refused here with the same message.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from atelier.tasks.bulk import failure_limit
from atelier.tasks.bulk.admission import check_job
from atelier.tasks.bulk.inputs import are_videos, count_by_kind, evenly_spaced, kinds_text, list_inputs
from atelier.tasks.bulk.job import JobFolder
from atelier.tasks.bulk.ledger import Ledger
from atelier.tasks.bulk.manifest import check_space
from atelier.tasks.bulk.messages import TASK_SCHEMA, JobSpec, picture_tasks, read_tasks
from atelier.tasks.bulk.pool import WorkerPool, executions_for, job_steps, worker_count
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.video_chunks import chunk_task, write_index
from atelier.tasks.bulk.worker import StylizeWorker
from atelier.tasks.images.codec import BadImage
from atelier.tasks.inference.execution_plan import ExecutionPlan
from atelier.tasks.inference.input_limits import limits_for
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.runtime.cluster import connected_keeping_sigterm
from atelier.tasks.storage.local_folder import LocalFolder
from atelier.tasks.video.container import video_file
from atelier.tasks.video.index import VideoIndex, read_index

WARM_UP, SAMPLE = 2, 24  # pictures: the first are not timed
VIDEOS, FRAMES = 2, 16  # videos of the sample, and frames from the middle of each


@dataclass(frozen=True)
class DryRun:
    """The estimate of a job."""

    total: int  # inputs
    settled: int  # finished by an earlier run
    unreadable: int  # would be quarantined without being opened
    no_pictures: int  # would be skipped for their names
    skipped_kinds: dict[str, int]  # these by kind
    pictures: int  # would be stylized, videos too
    videos: int  # of these
    frames: int  # of the videos, estimated by their bytes from those of the sample
    sampled: int  # pictures and frames that were stylized and timed
    failed: int  # of the sample, would be quarantined
    workers: int
    images_per_second: float  # pictures and frames, of all workers together; an upper bound where they share a limit
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
        if self.videos:
            lines.append(f"{self.videos:,} are videos, with about {self.frames:,} frames")
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
            what = "pictures and frames" if self.videos else "pictures"
            lines.append(f"from {self.sampled} {what}; {self.failed} of the sample would go to quarantine")
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
        pictures=todo.num_rows, videos=0, frames=0,
        sampled=0, failed=0, workers=0, images_per_second=0.0, minutes=0.0, gigabytes=0.0,
        free_gigabytes=None if (free := destination.free_bytes()) is None else round(free / 1e9, 2), plan=None, then=(),
    )  # fmt: skip
    if not todo.num_rows:
        return found
    films = are_videos(todo["input"])
    videos, pictures = todo.filter(films), todo.filter(pc.invert(films))
    with connected_keeping_sigterm(connect), contextlib.closing(WorkerPool()) as pool:
        spec = JobSpec("", job_steps(request, request.controls(), job.plans()), config, 1)
        pool.start(1, 0, gpu=spec.device == "cuda")
        spec = spec.with_executions(executions_for(pool, spec, todo.num_rows))
        workers = worker_count(spec.device)
        painted = pool.run(_stylize_pictures, _sample(pictures, WARM_UP + SAMPLE), spec)
        filmed = pool.run(_stylize_videos, _sample(videos, VIDEOS), spec)
    share = int(pc.sum(videos["size"]).as_py() or 0) / max(1, filmed.file_bytes)
    frames = round(filmed.frames * share)
    seconds = (painted.each_s * pictures.num_rows + filmed.each_s * frames) / workers
    size = painted.each_bytes * pictures.num_rows + filmed.each_bytes * frames
    return replace(
        found,
        videos=videos.num_rows,
        frames=frames,
        sampled=painted.count + filmed.count,
        failed=painted.failed + filmed.failed,
        workers=workers,
        images_per_second=round((pictures.num_rows + frames) / seconds, 2) if seconds else 0.0,
        minutes=round(seconds / 60, 2),
        gigabytes=round(size / 1e9, 4),
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


@dataclass(frozen=True)
class Sample:
    """What a sample took."""

    count: int = 0  # pictures or frames that were timed
    failed: int = 0  # inputs that would go to quarantine
    each_s: float = 0.0  # of one picture or frame
    each_bytes: float = 0.0  # of its output
    frames: int = 0  # of all sampled videos
    file_bytes: int = 0  # of these


def _sample(todo: pa.Table, most: int) -> pa.Table:
    """Tasks (`TASK_SCHEMA`) from all parts of the job."""
    chosen = evenly_spaced(todo, most)
    return picture_tasks(chosen, pa.array([f"{index}" for index in range(chosen.num_rows)]))


def _stylize_pictures(tasks: pa.Table, spec: JobSpec) -> Sample:
    """Stylize tasks of pictures into a temporary folder."""
    if not tasks.num_rows:
        return Sample()
    with _temporary_worker(spec) as (worker, folder):
        timed = tasks.slice(min(WARM_UP, tasks.num_rows - 1))
        worker(tasks.slice(0, tasks.num_rows - timed.num_rows or 1))
        seconds = _timed(worker, timed)
        rows = Ledger(folder / RESERVED / "ledger").read()
        sizes = rows.filter(pc.and_(pc.equal(rows["state"], "done"), pc.is_in(rows["input"], timed["input"])))["bytes"]
    count = timed.num_rows
    return Sample(count, count - len(sizes), seconds / count, int(pc.sum(sizes).as_py() or 0) / count)


def _stylize_videos(tasks: pa.Table, spec: JobSpec) -> Sample:
    """Read videos, and stylize some frames from the middle of each into a temporary folder."""
    count, failed, seconds, size, frames, file_bytes = 0, 0, 0.0, 0, 0, 0
    limits = limits_for(spec.config, *spec.plans)
    with _temporary_worker(spec) as (worker, folder):
        for task in read_tasks(tasks):
            try:
                *_, index = read_index(video_file(task.entry, limits.max_bytes), limits, salvage=spec.config.salvage)
            except BadImage:
                failed += 1
                continue
            assert isinstance(index, VideoIndex)
            frames, file_bytes = frames + index.frames, file_bytes + task.entry.size
            middle = max(0, (index.frames - FRAMES) // 2)
            cuts = sorted({0, middle, min(middle + FRAMES, index.frames)} - {index.frames})
            index = replace(index, cuts=tuple(cuts))
            write_index(task, worker.spec, index)
            row = chunk_task(task, worker.spec, index, cuts.index(middle))
            chunk = pa.Table.from_pylist([row], TASK_SCHEMA)
            if not count:
                worker(chunk)  # warm
            seconds += _timed(worker, chunk)
            count += len(range(index.frames)[middle : middle + FRAMES])
            size += LocalFolder(folder).sizes([row["output"]])[0]
    if not count:
        return Sample(failed=failed)
    return Sample(count, failed, seconds / count, max(0, size) / count, frames, file_bytes)


@contextlib.contextmanager
def _temporary_worker(spec: JobSpec) -> Iterator[tuple[StylizeWorker, Path]]:
    """A worker whose destination is a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / RESERVED).mkdir()
        yield StylizeWorker(replace(spec, destination=folder)), Path(folder)


def _timed(worker: StylizeWorker, tasks: pa.Table) -> float:
    """Run tasks; the seconds that they took. Raises ValueError where the job would stop."""
    begun = time.perf_counter()
    results = worker(tasks)
    seconds = time.perf_counter() - begun
    if stopped := [row for row in results.to_pylist() if row["state"] == "pending"]:
        raise ValueError(stopped[0]["reason"])
    return seconds
