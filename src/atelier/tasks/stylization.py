"""Bulk stylization: every picture of a source restyled exactly once, with Ray Data.

    listing -> names -> blocks of tasks -> a pool of stylists (decode, stylize, encode, commit, record) -> summary

The driver lists, plans, watches and sums up; it never opens a picture and never loads torch. The ledger, which the
stylists write, is the truth: what Ray runs twice is recorded once, and what it loses is redone.
"""

import contextlib
import itertools
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from atelier.models.controls import check
from atelier.tasks.execution_plan import Plan
from atelier.tasks.job import FORMAT, Job, Standing, open_job
from atelier.tasks.ledger import Row, remove_leftovers
from atelier.tasks.lineage import ModelIdentity
from atelier.tasks.naming import split_suffix
from atelier.tasks.progress import Progress, Report, silent
from atelier.tasks.sources import NO_PICTURES, list_files, locate
from atelier.tasks.stylist import ENTRY, TASKS, Order, stopped
from atelier.tasks.stylist import StylizeConfig as StylizeConfig  # here is where callers look for it
from atelier.tasks.stylist_pool import answers, connected, executed
from atelier.tasks.wishes import wished

LISTING = pa.schema({"input": pa.string(), "stamp": pa.string(), "other": pa.bool_(), **ENTRY})
ROOM_BYTES = 16 * 2**20  # free space below which a job does not start


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
    source: str,
    destination: Path,
    model: Path,
    config: StylizeConfig,
    identity: ModelIdentity,
    report: Report = silent,
    *,
    connect: Callable[[], object],
    base: Path = Path(),
) -> StylizeSummary:
    """Stylize every picture of a source into a mirrored destination, each exactly once.

    Interrupted at any moment and started again it continues; a finished job has nothing to do: it does not connect,
    loads nothing and changes nothing. Inputs that are new or have changed since are stylized by the next run.

    Args:
        source: a folder, archive, list or sample, as `sources.list_files` reads it.
        destination: a new or empty folder, or one that holds this very job.
        model: the model folder, readable on every node.
        config: parameters.
        identity: which model this is (`lineage.identify`).
        report: is told of the progress in images.
        connect: connects to Ray; called only when there is something to do.
        base: what a relative `source` is relative to.

    Raises:
        FileNotFoundError: the source does not exist.
        NotADirectoryError: the destination is a file.
        ValueError: the source holds no picture or is damaged, the model's method does not honour a control, a style's
            picture cannot be read, the model folder is damaged, or the destination holds another job or other files.
        RuntimeError: another process works on the destination, it has no space or cannot be written, or the cluster
            cannot honour the job's execution plan. The job can be continued when that is mended.
    """
    started = time.monotonic()
    destination = destination.absolute()
    where = _apart(source, base, destination)
    controls = wished(config, base)
    check(identity.method, controls)
    listing = _listing(source, base)
    with open_job(destination) as job:
        parameters = _parameters(config) | controls.said()
        manifest = {"format": FORMAT, "source": where, "model": asdict(identity), "parameters": parameters}
        job.agree(manifest, _parameters(StylizeConfig()))
        before = job.standing(listing)
        if not before.counts["pending"] and job.summarized:
            return _summary(before, before, identity, time.monotonic() - started, 0.0)
        rate = 0.0
        try:
            with _writing(destination):
                attempt = job.ledger.attempts + 1
                chosen = job.manifest().get("plan")
                todo = _prepare(job, listing, before, config, manifest | ({"plan": chosen} if chosen else {}), attempt)
            report(_progress(before.counts))
            if todo.num_rows:
                with connected(connect):
                    execution = executed(model.absolute(), controls, config.execution, _plan(job), todo.num_rows)
                    job.write_manifest(manifest | {"plan": asdict(execution.plan)})
                    order = Order(destination, model.absolute(), identity, config, controls, execution, attempt)
                    with contextlib.closing(answers(todo, order)) as stream:
                        rate = _watch(stream, job.standing(listing).counts, report)
            with _writing(destination):
                remove_leftovers(destination)  # of workers that died and were replaced
                job.ledger.compact()
        finally:
            after = job.standing(listing)
            summary = _summary(before, after, identity, time.monotonic() - started, rate)
            with contextlib.suppress(OSError):  # a full disk has been told already
                job.write_summary(asdict(summary), after)
    if summary.pending:
        raise RuntimeError(
            f"{summary.pending} outputs in {destination} were lost while it ran: run the same command again"
        )
    return summary


@contextlib.contextmanager
def _writing(destination: Path) -> Iterator[None]:
    """Say in one line what is wrong with the destination."""
    try:
        yield
    except OSError as error:
        raise RuntimeError(stopped(destination, error)) from error


def _parameters(config: StylizeConfig) -> dict[str, Any]:
    """The parameters as JSON values. What styles and masks are is known by their contents, not by their paths."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return {name: value for name, value in found.items() if name != "masks"}


def _apart(source: str, base: Path, destination: Path) -> str:
    """The source as the manifest has it.

    Raises:
        ValueError: the destination lies in the source, where outputs would become inputs; or it in the destination.
    """
    if "://" in source:
        return source
    path, target = locate(source, base), destination.resolve()
    if path.is_dir() and (target.is_relative_to(path) or path.is_relative_to(target)):
        raise ValueError(f"source {source} and destination {destination} lie in each other: choose another destination")
    return str(path)


def _listing(source: str, base: Path) -> pa.Table:
    """Every file of the source (schema `LISTING`), pictures or not.

    Raises:
        ValueError: there is no picture among them.
    """
    chunks: list[pa.RecordBatch] = []
    seen: set[str] = set()
    pictures = False
    files = iter(list_files(source, base))
    while part := list(itertools.islice(files, 10_000)):
        columns: dict[str, list[Any]] = {name: [] for name in LISTING.names}
        for entry in part:
            other = split_suffix(entry.name)[1].lower() in NO_PICTURES
            pictures |= not other
            columns["input"].append(_unseen(entry.name, seen))
            columns["stamp"].append(f"{entry.size}:{entry.etag}")
            columns["other"].append(other)
            for name in ENTRY:
                columns[name].append(getattr(entry, name))
        chunks.append(pa.record_batch(columns, LISTING))
    if not pictures:
        raise ValueError(f"source {source} holds no pictures: put pictures there or name another source")
    return pa.Table.from_batches(chunks)


def _unseen(name: str, seen: set[str]) -> str:
    """The name, or one made from it where an archive holds it twice."""
    if name in seen:
        name = next(other for k in itertools.count(2) if (other := f"{name}#{k}") not in seen)
    seen.add(name)
    return name


def _prepare(
    job: Job, listing: pa.Table, before: Standing, config: StylizeConfig, manifest: dict[str, Any], attempt: int
) -> pa.Table:
    """Write down what the job is, end the inputs that need no work, and return the tasks of the others.

    Raises:
        RuntimeError: the destination has obviously not enough space.
    """
    pending = listing.filter(pc.is_in(listing["input"], pa.array(sorted(before.inputs("pending")), pa.string())))
    todo = pending.filter(pc.and_(pc.equal(pending["problem"], ""), pc.invert(pending["other"])))
    needed, free = int(pc.sum(todo["size"]).as_py() or 0) // 2, shutil.disk_usage(job.destination).free
    if todo.num_rows and free < max(needed, ROOM_BYTES):
        raise RuntimeError(
            f"{job.destination} has {free / 1e6:,.0f} MB free, and the outputs need more than "
            f"{max(needed, ROOM_BYTES) / 1e6:,.0f} MB: make room or choose another destination"
        )
    job.write_manifest(manifest)
    names = job.plan_names(todo["input"].to_pylist(), config.format)
    job.clean(before)
    rows = []
    for entry in pending.filter(pc.or_(pc.not_equal(pending["problem"], ""), pending["other"])).to_pylist():
        facts = {"input": entry["input"], "stamp": entry["stamp"], "attempt": attempt}
        if entry["problem"]:
            rows.append(Row(**facts, state="quarantined", stage="read", reason=entry["problem"]))
        else:
            rows.append(Row(**facts, state="skipped", reason="no picture by its name"))
    job.ledger.append(rows)
    outputs = pa.array([names[name] for name in todo["input"].to_pylist()], pa.string())
    return todo.append_column("output", outputs).select(TASKS.names)


def _plan(job: Job) -> Plan | None:
    """The execution plan that the job began with, None where it is yet to be chosen.

    Raises:
        RuntimeError: it is another version's.
    """
    chosen = job.manifest().get("plan")
    try:
        return Plan(**chosen) if chosen else None
    except TypeError as error:
        raise RuntimeError(
            f"the job in {job.destination} began with the execution plan {chosen}, which this version does not know: "
            "continue it with the version that began it, or use another destination"
        ) from error


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


def _summary(before: Standing, after: Standing, identity: ModelIdentity, seconds: float, rate: float) -> StylizeSummary:
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
