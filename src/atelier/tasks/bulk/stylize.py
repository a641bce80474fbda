"""Bulk stylization: every picture of a source restyled exactly once, with Ray Data.

    listing -> names -> blocks of tasks -> a pool of stylists (decode, stylize, encode, commit, record) -> summary

The driver lists, plans, watches and sums up; it never opens a picture and never loads torch. The ledger, which the
stylists write, is the truth: what Ray runs twice is recorded once, and what it loses is redone.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from atelier.models.card import ModelIdentity
from atelier.models.controls import check
from atelier.tasks.bulk import failure_limit, job_report
from atelier.tasks.bulk.inputs import ALL_INPUTS, Selection, evenly_spaced, list_inputs
from atelier.tasks.bulk.job import FORMAT, JobFolder, JobState, open_job
from atelier.tasks.bulk.ledger import LedgerRow
from atelier.tasks.bulk.messages import TASK_SCHEMA, JobSpec, write_error_text
from atelier.tasks.bulk.pool import execution_for, report_pairs, run_tasks
from atelier.tasks.images.codec import ImageLimits
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.controls import controls_from_config
from atelier.tasks.runtime.cluster import connected_keeping_sigterm
from atelier.tasks.runtime.progress import Progress, Report, silent
from atelier.tasks.storage.destination import Destination
from atelier.tasks.storage.location import is_url
from atelier.tasks.storage.open_destination import open_destination
from atelier.tasks.storage.open_source import locate

ROOM_BYTES = 16 * 2**20  # free space below which a job does not start
COMPACT_BLOCKS = 512  # after which the parts of the ledger are made one while the job runs
ROWS = 10_000  # inputs that are recorded together where there is nothing to do


@dataclass(frozen=True)
class StylizeSummary:
    """How a job stands after a run: total = done + skipped + quarantined + pending."""

    total: int
    done: int
    skipped: int
    quarantined: int
    pending: int
    processed: int  # inputs that this run brought to an end
    seconds: float  # that this run took, start-up included
    images_per_second: float  # of this run, from the first finished block on; 0 when it had nothing to do
    model: str
    version: str


def stylize(
    sources: str | Sequence[str],
    destination: str | Path,
    model: Path,
    config: StylizeConfig,
    identity: ModelIdentity,
    report: Report = silent,
    *,
    connect: Callable[[], object],
    base: Path = Path(),
    selection: Selection = ALL_INPUTS,
    retry_quarantined: bool = False,
    max_quarantine: str = "",
    replace: bool = False,
) -> StylizeSummary:
    """Stylize every picture of the sources into a mirrored destination, each exactly once.

    Interrupted at any moment and started again it continues; a finished job has nothing to do: it does not connect,
    loads nothing and changes nothing. Inputs that are new, newly selected or changed are stylized by the next run.

    Args:
        sources: a folder, archive, list or sample, as `open_source.list_files` reads it, or several, whose outputs lie
            below the name of their own source each.
        destination: a new or empty folder or URL, or one that holds this very job.
        model: the model folder, readable on every node.
        config: parameters.
        identity: which model this is (`lineage.identify`).
        report: is told of the progress in images.
        connect: connects to Ray; called only when there is something to do.
        base: what relative sources are relative to.
        selection: which files of the sources are inputs.
        retry_quarantined: try again what is in quarantine.
        max_quarantine: when too many inputs have failed (`quarantine.allowed`); "" for never.
        replace: take the place of a job with another model or other parameters, and make its outputs again. Its
            outputs are removed at the start. Killed in the middle, it is this job that continues.

    Raises:
        FileNotFoundError: a source does not exist.
        NotADirectoryError: the destination is a file.
        ValueError: the sources hold no picture or are damaged, the model's method does not honour a control, a style's
            picture cannot be read, the model folder is damaged, or the destination holds another job or other files.
        RuntimeError: another process works on the destination, it has no space or cannot be written, too many inputs
            are in quarantine, or the cluster cannot honour the job's execution plan. The job can be continued when
            that is mended.
    """
    started = time.monotonic()
    sources = [sources] if isinstance(sources, str) else list(sources)
    failure_limit.allowed_failures(max_quarantine, 0)
    target = open_destination(destination)
    where = [_apart(source, base, target) for source in sources]
    controls = controls_from_config(config, base)
    check(identity.method, controls)
    inputs = list_inputs(sources, base, selection)
    with open_job(target) as job:
        parameters = _parameters(config) | controls.said()
        manifest: dict[str, Any] = {"format": FORMAT, "source": where[0] if len(where) == 1 else where}
        manifest |= {"model": asdict(identity), "parameters": parameters}
        with _writing(target):
            since = job.agree(manifest, _parameters(StylizeConfig()), replace=replace)
            before = job.standing(inputs, since, retry=retry_quarantined)
        failure_limit.enforce(before.counts, max_quarantine, target)
        if not before.counts["pending"] and job.summarized:
            return _summary(before, before, identity, time.monotonic() - started, 0.0)
        rate = 0.0
        shown: list[tuple[str, str]] = []
        try:
            with _writing(target):
                attempt = max(since, job.ledger.attempts + 1)
                begun = job.manifest().get("plan")
                manifest |= {"since": since} | ({"plan": begun} if begun else {})
                todo, counts = _prepare(job, inputs, before, config, manifest, attempt)
            inputs = inputs.select(["input", "stamp"])  # the rest is heavy, and lives on in the tasks
            failure_limit.enforce(counts, max_quarantine, target)
            report(_progress(before.counts))
            if todo.num_rows:
                with connected_keeping_sigterm(connect):
                    execution = execution_for(model.absolute(), controls, config.execution, job.plan(), todo.num_rows)
                    with _writing(target):
                        job.write_manifest(manifest | {"plan": asdict(execution.plan)})
                    order = JobSpec(target.location, model.absolute(), identity, config, controls, execution, attempt)
                    with contextlib.closing(run_tasks(todo, order)) as stream:
                        rate = _watch(_kept(stream, job, counts, max_quarantine), counts, report)
                    limits = ImageLimits(config.max_bytes, config.max_pixels)
                    shown = report_pairs(evenly_spaced(todo, job_report.PAIRS).to_pylist(), target.location, limits)
            with _writing(target):
                job.end(todo["output"])
        finally:
            after = job.standing(inputs, since)
            summary = _summary(before, after, identity, time.monotonic() - started, rate)
            with contextlib.suppress(OSError):  # a full disk has been told already
                page = job_report.report(target.location, asdict(summary), after, shown)
                job.write_summary(asdict(summary), after, page)
    if summary.pending:
        raise RuntimeError(f"{summary.pending} outputs in {target} were lost while it ran: run the same command again")
    return summary


@contextlib.contextmanager
def _writing(destination: Destination) -> Iterator[None]:
    """Say in one line what is wrong with the destination."""
    try:
        yield
    except OSError as error:
        raise RuntimeError(write_error_text(destination, error)) from error


def _parameters(config: StylizeConfig) -> dict[str, Any]:
    """The parameters that outputs depend on, as JSON values: what inputs may cost and where they are worked on do not.

    What styles and masks are is known by their contents, not by their paths.
    """
    found: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    apart = {"masks", "stages", "max_bytes", "max_pixels", "max_frames"}
    return {name: value for name, value in found.items() if name not in apart}


def _apart(source: str, base: Path, destination: Destination) -> str:
    """A source as the manifest has it.

    Raises:
        ValueError: the destination lies in the source, where outputs would become inputs; or it in the destination.
    """
    place = source.rstrip("/") if is_url(source) else str(locate(source, base))
    target = destination.location if is_url(destination.location) else str(Path(destination.location).resolve())
    lists = is_url(place) or Path(place).is_dir()
    if lists and (f"{target}/".startswith(f"{place}/") or f"{place}/".startswith(f"{target}/")):
        raise ValueError(f"source {source} and destination {destination} lie in each other: choose another destination")
    return place


def _prepare(
    job: JobFolder, inputs: pa.Table, before: JobState, config: StylizeConfig, manifest: dict[str, Any], attempt: int
) -> tuple[pa.Table, dict[str, int]]:
    """Write down what the job is, end the inputs that need no work, and return the tasks of the others and the counts.

    Raises:
        RuntimeError: the destination has obviously not enough space.
    """
    waiting = pc.equal(before.rows["state"], "pending")
    work = pc.and_(pc.equal(inputs["problem"], ""), pc.invert(inputs["other"]))
    todo = _where(inputs, pc.and_(waiting, work))
    needed, free = int(pc.sum(todo["size"]).as_py() or 0) // 2, job.destination.free_bytes()
    if todo.num_rows and free is not None and free < max(needed, ROOM_BYTES):
        raise RuntimeError(
            f"{job.destination} has {free / 1e6:,.0f} MB free, and the outputs need more than "
            f"{max(needed, ROOM_BYTES) / 1e6:,.0f} MB: make room or choose another destination"
        )
    job.write_manifest(manifest)
    outputs = job.plan_names(todo["input"], config.format)
    job.begin(before)
    counts = before.counts
    idle = inputs.select(["input", "stamp", "problem"]).filter(pc.and_(waiting, pc.invert(work)))
    for batch in idle.to_batches(ROWS):
        rows = [_ended(**values, attempt=attempt) for values in batch.to_pylist()]
        job.ledger.append(rows)
        counts["pending"] -= len(rows)
        for row in rows:
            counts[row.state] += 1
    return todo.append_column("output", outputs).select(TASK_SCHEMA.names), counts


def _where(table: pa.Table, mask: pa.ChunkedArray) -> pa.Table:
    """The rows of a mask; all of them are not copied."""
    return table if pc.all(mask).as_py() else table.filter(mask)


def _ended(input: str, stamp: str, problem: str, attempt: int) -> LedgerRow:
    """How an input ends that needs no work."""
    if problem:
        return LedgerRow(input, "quarantined", stage="read", reason=problem, stamp=stamp, attempt=attempt)
    return LedgerRow(input, "skipped", reason="no picture by its name", stamp=stamp, attempt=attempt)


def _kept(
    answers: Iterator[pa.Table], job: JobFolder, counts: Mapping[str, int], max_quarantine: str
) -> Iterator[pa.Table]:
    """Pass the answers on and keep the books meanwhile; `counts` are those of whoever takes the answers.

    Raises:
        RuntimeError: too many inputs are in quarantine, or another process has taken the job over.
    """
    for number, answer in enumerate(answers, 1):
        yield answer
        failure_limit.enforce(counts, max_quarantine, job.destination)
        if not job.held():
            raise RuntimeError(f"another process has taken over the job in {job.destination}: leave it to that one")
        if number % COMPACT_BLOCKS == 0:
            job.ledger.compact()


def _watch(answers: Iterator[pa.Table], counts: dict[str, int], report: Report) -> float:
    """Count answers and report; returns the rate in images/s from the first answer on.

    Raises:
        RuntimeError: a stylist says that the job must stop.
    """
    first = now = begun = time.monotonic()
    head = answered = 0
    for answer in answers:
        now = time.monotonic()
        first, head = (first, head) if answered else (now, answer.num_rows)
        for state, reason in zip(answer["state"].to_pylist(), answer["reason"].to_pylist(), strict=True):
            if state == "pending":
                raise RuntimeError(reason)
            counts[state] += 1
            counts["pending"] -= 1
        answered += answer.num_rows
        report(_progress(counts))
    return (answered - head) / (now - first) if answered > head else answered / max(now - begun, 1e-9)


def _progress(counts: dict[str, int]) -> Progress:
    total = sum(counts.values())
    note = f"{counts['quarantined']} in quarantine" if counts["quarantined"] else ""
    return Progress("stylize", total - counts["pending"], total, "images", note)


def _summary(before: JobState, after: JobState, identity: ModelIdentity, seconds: float, rate: float) -> StylizeSummary:
    counts = after.counts
    return StylizeSummary(
        total=after.rows.num_rows,
        **counts,
        processed=before.counts["pending"] - counts["pending"],
        seconds=round(seconds, 3),
        images_per_second=round(rate, 3),
        model=identity.name,
        version=identity.version,
    )
