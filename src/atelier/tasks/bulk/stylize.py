"""Bulk stylization with Ray: every input ends as done, skipped or quarantined.

    list inputs -> plan output names -> blocks of tasks -> worker pool (read, stylize, write, record) -> summary

The driver lists, plans, counts and sums up. It opens no picture and does not load torch. The ledger, which the workers
write, is the truth: a task that Ray runs twice is recorded once, and a task that Ray loses is run again.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from atelier.models.controls import Controls
from atelier.tasks.bulk import failure_limit, job_report
from atelier.tasks.bulk.inputs import evenly_spaced, list_inputs
from atelier.tasks.bulk.job import JobFolder, JobState, open_job
from atelier.tasks.bulk.job_watch import JobWatch
from atelier.tasks.bulk.ledger import LedgerRow
from atelier.tasks.bulk.manifest import check_space, manifest_of
from atelier.tasks.bulk.messages import JobSpec, picture_tasks, write_error_text
from atelier.tasks.bulk.pool import WorkerPool, executions_for, job_steps, report_pairs, splits_stages
from atelier.tasks.bulk.request import REQUEST, StylizeRequest
from atelier.tasks.bulk.results import count_results, progress, supervised
from atelier.tasks.bulk.split_workers import without_networks
from atelier.tasks.bulk.videos import Videos
from atelier.tasks.images.codec import ImageLimits
from atelier.tasks.inference.execution_plan import record_of_plans
from atelier.tasks.runtime.cluster import connected_keeping_sigterm
from atelier.tasks.runtime.progress import Report, silent
from atelier.tasks.storage.destination import Destination
from atelier.tasks.storage.open_destination import open_destination

ROWS = 10_000  # ledger rows written together for inputs that need no work


@dataclass(frozen=True)
class StylizeSummary:
    """The counts of a job after a run: total = done + skipped + quarantined + pending."""

    total: int
    done: int
    skipped: int
    quarantined: int
    pending: int
    processed: int  # inputs that this run finished
    seconds: float  # duration of this run, with its start
    images_per_second: float  # processed in these seconds; 0 without work
    model: str
    version: str
    skipped_kinds: dict[str, int]  # skipped inputs by kind


def stylize(request: StylizeRequest, report: Report = silent, *, connect: Callable[[], object]) -> StylizeSummary:
    """Stylize every picture of the sources, each exactly once, into a destination with the same paths.

    A job that is interrupted at any moment continues with the next call. For a finished job a call connects to nothing,
    loads nothing and changes nothing. Inputs that are new, newly selected or changed are stylized by the next call.

    Args:
        request: the job.
        report: receives the progress, in images.
        connect: connects to Ray; called only when there is work.

    Raises:
        FileNotFoundError: a source does not exist.
        NotADirectoryError: the destination is a file.
        ValueError: the sources hold no picture or are damaged, the method does not support a control, a style picture
            cannot be read, the model folder is damaged, or the destination holds another job or other files.
        RuntimeError: another process uses the destination, it has no space or cannot be written, too many inputs are
            quarantined, or the cluster cannot follow the job's execution plan. The job can continue after the repair.
    """
    started = time.monotonic()
    rerun = request.rerun
    failure_limit.allowed_failures(rerun.max_quarantine, 0)
    destination = open_destination(request.destination)
    controls = request.controls()
    manifest, defaults = manifest_of(request, controls, destination)
    inputs = list_inputs(request.sources, request.base, request.selection)
    listed = inputs.select(["input", "stamp"])
    with open_job(destination) as job:
        with _write_errors(destination):
            job.forget_blank()
            since, replaces = job.match_manifest(manifest, defaults, replace=rerun.replace)
            before = job.state(listed, since, retry=rerun.retry_quarantined)
        failure_limit.enforce(before.counts, rerun.max_quarantine, destination)
        if not before.counts["pending"] and job.has_summary:
            return _summary(before, before, request, time.monotonic() - started)
        if (plan := job.manifest().get("plan")) and not replaces:
            manifest["plan"] = plan  # as it was written: outputs depend on it
        run = _Run(request, job, controls, manifest, since, before)
        try:
            tasks, counts = run.prepare(inputs)
            del inputs  # a large table; the tasks have what is needed of it
            run.stylize(tasks, counts, report, connect)
        finally:
            after = job.state(listed, since)
            summary = _summary(before, after, request, time.monotonic() - started)
            with contextlib.suppress(OSError):  # a full disk is reported already
                page = job_report.report(destination.location, asdict(summary), after, run.pairs)
                job.write_summary(asdict(summary), after, page)
    if summary.pending:
        raise RuntimeError(
            f"{summary.pending} outputs in {destination} were lost while it ran: run the same command again"
        )
    return summary


@dataclass
class _Run:
    """One run of a job that has work."""

    request: StylizeRequest
    job: JobFolder
    controls: tuple[Controls, ...]  # of each model
    manifest: dict[str, Any]
    since: int  # first attempt whose ledger rows count
    before: JobState
    attempt: int = 1
    pairs: list[tuple[str, str, str]] = field(default_factory=list)  # as `job_report.pairs`

    def prepare(self, inputs: pa.Table) -> tuple[pa.Table, dict[str, int]]:
        """Write the manifest, plan names and record inputs that need no work.

        Returns:
            The tasks of all other pending inputs (`TASK_SCHEMA`), and the number of inputs by state.

        Raises:
            RuntimeError: the destination has too little space or cannot be written.
        """
        job = self.job
        with _write_errors(job.destination):
            self.attempt = max(self.since, job.ledger.attempts + 1)
            self.manifest |= {"since": self.since}
            waiting = pc.equal(self.before.rows["state"], "pending")
            needs_work = pc.and_(pc.equal(inputs["problem"], ""), pc.equal(inputs["skipped"], ""))
            todo = _filtered(inputs, pc.and_(waiting, needs_work))
            check_space(job.destination, todo, self.request.scale)
            job.write_manifest(self.manifest)
            job.folder.write(REQUEST, self.request.to_json())
            outputs = job.plan_names(todo["input"], self.request.config.format)
            job.start_run(self.before)
            counts = self.before.counts
            idle = inputs.select(["input", "stamp", "problem", "skipped"]).filter(
                pc.and_(waiting, pc.invert(needs_work))
            )
            for batch in idle.to_batches(ROWS):
                rows = [_idle_row(**values, attempt=self.attempt) for values in batch.to_pylist()]
                job.ledger.append(rows)
                counts["pending"] -= len(rows)
                for row in rows:
                    counts[row.state] += 1
        return picture_tasks(todo, outputs), counts

    def stylize(self, tasks: pa.Table, counts: dict[str, int], report: Report, connect: Callable[[], object]) -> None:
        """Run the tasks on the cluster, and clean up.

        Raises:
            RuntimeError: as `stylize`.
        """
        job, request, config = self.job, self.request, self.request.config
        destination, limit = job.destination, request.rerun.max_quarantine
        failure_limit.enforce(counts, limit, destination)
        watch = JobWatch(job.markers, report, config.picture_timeout_s)
        watch.report(progress(self.before.counts))
        if tasks.num_rows:
            with connected_keeping_sigterm(connect), watch.watching(), contextlib.closing(WorkerPool()) as pool:
                location, steps = destination.location, job_steps(request, self.controls, job.plans())
                spec = JobSpec(location, steps, config, self.attempt)
                videos, some = Videos(job, spec, self.since, report), evenly_spaced(tasks, job_report.PAIRS)
                tasks = videos.cut(tasks)
                self._paint(tasks, spec, videos, counts, watch, pool)
                limits = ImageLimits(config.max_bytes, config.max_pixels)
                self.pairs = report_pairs(pool, some.to_pylist(), location, limits)
        with _write_errors(destination):
            job.finish_run(tasks["output"])

    def _paint(
        self,
        tasks: pa.Table,
        spec: JobSpec,
        videos: Videos,
        counts: dict[str, int],
        watch: JobWatch,
        pool: WorkerPool,
    ) -> None:
        """Run tasks of pictures and chunks, and count their results."""
        job, limit = self.job, self.request.rerun.max_quarantine
        if not tasks.num_rows:  # all chunks are there, or no video can be read
            count_results((), counts, videos, watch.report)
            return
        pool.start_for(tasks, spec)
        spec = spec.with_executions(executions_for(pool, spec, tasks.num_rows + videos.total))
        videos.spec = without_networks(spec)
        with _write_errors(job.destination):
            job.write_manifest({"plan": record_of_plans(spec.plans)} | self.manifest)
        watch.workers_count = not splits_stages(spec)
        with contextlib.closing(pool.results(tasks, spec)) as results:
            count_results(supervised(results, job, counts, limit), counts, videos, watch.report)


@contextlib.contextmanager
def _write_errors(destination: Destination) -> Iterator[None]:
    """Turn an OSError of the destination into a RuntimeError with a message for the user."""
    try:
        yield
    except OSError as error:
        raise RuntimeError(write_error_text(destination, error)) from error


def _filtered(table: pa.Table, mask: pa.ChunkedArray) -> pa.Table:
    """The rows of a mask, without a copy if these are all rows."""
    return table if pc.all(mask).as_py() else table.filter(mask)


def _idle_row(input: str, stamp: str, problem: str, skipped: str, attempt: int) -> LedgerRow:
    """The row of an input that needs no work."""
    if problem:
        return LedgerRow(input, "quarantined", stage="read", reason=problem, stamp=stamp, attempt=attempt)
    return LedgerRow(input, "skipped", reason=skipped, stamp=stamp, attempt=attempt)


def _summary(before: JobState, after: JobState, request: StylizeRequest, seconds: float) -> StylizeSummary:
    counts = after.counts
    processed = before.counts["pending"] - counts["pending"]
    return StylizeSummary(
        total=after.rows.num_rows,
        **counts,
        processed=processed,
        seconds=round(seconds, 3),
        images_per_second=round(processed / seconds, 3),
        model=request.model_name,
        version=request.version,
        skipped_kinds=after.skipped_kinds,
    )
