"""The books of a bulk job, in `DEST/_atelier/`: what it is, what its outputs are called, and how far it is.

job.json          model, parameters, source and execution plan: another job is refused here
names.parquet     input and output names, planned before the first picture is touched
ledger/           how each input ended
summary.json      the counts
quarantine.csv    what failed, at which stage, and why
report.html       the same for people, with pictures
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atelier.tasks.bulk.crash_markers import CrashMarkers
from atelier.tasks.bulk.ledger import STATES, Ledger
from atelier.tasks.inference.execution_plan import ExecutionPlan
from atelier.tasks.inference.output_names import RESERVED, plan_outputs
from atelier.tasks.runtime.files import csv_bytes
from atelier.tasks.storage.destination import Destination
from atelier.tasks.storage.open_destination import open_destination

FORMAT = 2
RUNNING = "running"  # is there while a run is, and after one that was killed
NAMES = pa.schema([("input", pa.string()), ("output", pa.string())])
STATE_COLUMNS = (
    "input",
    "output",
    "state",
    "stage",
    "reason",
    "stamp",
    "bytes",
    "seconds",
    "attempt",
)  # what is read of the ledger


@dataclass(frozen=True)
class JobState:
    """How far a job is: one row an input of the source as it is now, in the order of the listing."""

    rows: pa.Table  # input and stamp of the listing, and what is read of the ledger

    @property
    def counts(self) -> dict[str, int]:
        """Inputs by state; they balance, since every input has one row and one state."""
        found = {str(item["values"]): int(item["counts"]) for item in pc.value_counts(self.rows["state"]).to_pylist()}
        return {state: found.get(state, 0) for state in STATES}

    def inputs(self, state: str) -> set[str]:
        """Names of the inputs in a state."""
        return set(self.rows.filter(pc.equal(self.rows["state"], state))["input"].to_pylist())


class JobFolder:
    """The books of one destination, whose lock is held."""

    def __init__(self, destination: Destination, held: Callable[[], bool] = lambda: True) -> None:
        """Take the books of a destination in hand; `open_job` does this under the lock."""
        self.destination = destination
        self.books = destination / RESERVED
        self.held = held
        self.ledger = Ledger(self.books / "ledger")
        self.marks = CrashMarkers(self.books / "inflight")

    def manifest(self) -> dict[str, Any]:
        """What this job is, {} when there is none yet.

        Raises:
            ValueError: it is damaged.
        """
        try:
            return dict(json.loads(self.books.read("job.json")))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ValueError(f"{self.books}/job.json is damaged ({error}): use another destination") from error

    def plan(self) -> ExecutionPlan | None:
        """The execution plan that this job began with, None where it is yet to be chosen.

        Raises:
            RuntimeError: it is another version's.
        """
        chosen = self.manifest().get("plan")
        try:
            return ExecutionPlan(**chosen) if chosen else None
        except TypeError as error:
            raise RuntimeError(
                f"the job in {self.destination} began with the execution plan {chosen}, which this version does not "
                "know: continue it with the version that began it, or use another destination"
            ) from error

    def agree(self, wanted: dict[str, Any], defaults: dict[str, Any], *, replace: bool) -> int:
        """Make sure that this destination holds no other job; one that never came to anything is forgotten.

        Args:
            wanted: what the job is to be.
            defaults: values of parameters that there were not yet when it began.
            replace: whether another model or other parameters may take this one's place, whose outputs are made again.

        Returns:
            The attempt from which on rows of the ledger count.

        Raises:
            ValueError: it holds another job; says what differs and what to do.
        """
        existing = self.manifest()
        if not self.ledger.attempts and set(self.destination.names()) <= {RESERVED}:
            self.books.remove(["job.json", "names.parquet"])
            return 1
        if existing:
            existing["parameters"] = defaults | existing.get("parameters", {})
        since = int(existing.get("since", 1))
        differences = [pair for pair in _differences(existing, wanted) if pair[1] != pair[2]]
        if not differences:
            return since
        if replace and all(key.split()[0] in ("model", "parameters") for key, _, _ in differences):
            return self.ledger.attempts + 1
        said = "; ".join(f"{key} {_short(old)}, not {_short(new)}" for key, old, new in differences)
        raise ValueError(
            f"{self.destination} holds a job with {said}: use another destination, or the same model, source and "
            "parameters to continue that job, or --replace to make its outputs again with another model or parameters"
        )

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Say what this job is, where that is new: from here on it is this one."""
        if manifest != self.manifest():
            self._write("job.json", json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n")

    def plan_names(self, inputs: pa.ChunkedArray, format: str) -> pa.ChunkedArray:
        """The output of every input; what was planned once for this format stays."""
        names = self._names(format)
        new = inputs.filter(pc.invert(pc.is_in(inputs, names["input"])))
        if len(new):
            planned = plan_outputs(_values(new), format, _values(names["output"]))
            outputs = pa.array([planned[name] for name in _values(new)], pa.string())
            del planned
            added = pa.table([new, outputs], schema=NAMES)
            names = pa.concat_tables([names, added]).replace_schema_metadata({"format": format})
            sink = pa.BufferOutputStream()
            pq.write_table(names, sink, compression="zstd", use_dictionary=False)
            self.books.write("names.parquet", sink.getvalue())
        return names["output"].take(pc.index_in(inputs, names["input"]))

    def _names(self, format: str) -> pa.Table:
        """What is planned for this format; what a job that was replaced planned for another is removed, done or not."""
        try:
            table = pq.read_table(pa.BufferReader(self.books.read("names.parquet")))
        except FileNotFoundError:
            return NAMES.empty_table()
        if (table.schema.metadata or {}).get(b"format", format.encode()).decode() == format:
            return table.replace_schema_metadata()
        self.destination.remove(_values(table["output"]))
        return NAMES.empty_table()

    def standing(self, listing: pa.Table, since: int = 1, *, retry: bool = False) -> JobState:
        """Match what the source holds with the ledger; an output that is gone or was cut makes its input pending.

        Args:
            listing: a table with the columns `input` and `stamp`.
            since: the attempt from which on rows of the ledger count.
            retry: whether what is in quarantine is pending again.
        """
        ledger = self.ledger.read(STATE_COLUMNS)
        found = ledger.take(pc.index_in(listing["input"], ledger["input"]))  # null where there is none
        rows = listing.select(["input", "stamp"])
        for name in ("output", "state", "stage", "reason", "bytes", "seconds", "attempt"):
            rows = rows.append_column(name, found[name])
        valid = pc.and_(pc.equal(rows["stamp"], found["stamp"]), pc.greater_equal(rows["attempt"], since))
        state = pc.if_else(pc.fill_null(valid, False), rows["state"], "pending")
        if retry:
            state = pc.if_else(pc.equal(state, "quarantined"), "pending", state)
        done = pc.equal(state, "done").to_numpy()  # (N,)
        sizes = np.full(len(done), -1)
        sizes[done] = self.destination.sizes(rows["output"].filter(pa.array(done)).to_pylist())
        lost = done & (sizes != rows["bytes"].fill_null(-1).to_numpy())
        state = pc.if_else(pa.array(lost), "pending", state)
        column = rows.schema.get_field_index("state")
        return JobState(rows.set_column(column, "state", state))

    def begin(self, standing: JobState) -> None:
        """Remove what a killed run left, and outputs of inputs that have changed since."""
        if self.books.sizes([RUNNING]) != [-1]:
            self.destination.remove_leftovers()
        self.marks.clear()
        self.books.write_unsynced(RUNNING, b"")
        pending = pc.equal(standing.rows["state"], "pending")
        stale = standing.rows.filter(pending)["output"].drop_null()
        kept = standing.rows.filter(pc.invert(pending))["output"]  # an output may have another input by now
        stale = stale.filter(pc.invert(pc.is_in(stale, kept)))
        self.destination.remove(name for name in _values(stale) if name)

    def end(self, outputs: pa.ChunkedArray) -> None:
        """Tidy up after a run that wrote these outputs: what workers left that died and were replaced."""
        folders = {name.rpartition("/")[0] for name in _values(outputs)}
        self.destination.remove_leftovers(folders | {"", RESERVED, f"{RESERVED}/ledger"})
        self.ledger.compact()
        self.books.remove([RUNNING])

    def write_summary(self, summary: dict[str, Any], standing: JobState, page: bytes) -> None:
        """Write the counts, the quarantine list and the report for people."""
        failed = standing.rows.filter(pc.equal(standing.rows["state"], "quarantined")).sort_by("input")
        columns = ("path", "stage", "reason")
        rows = [
            (row["input"], row["stage"], row["reason"]) for row in failed.select(["input", *columns[1:]]).to_pylist()
        ]
        self.books.write("quarantine.csv", csv_bytes(columns, rows))
        self.books.write("report.html", page)
        self._write("summary.json", json.dumps(summary, indent=2) + "\n")

    @property
    def summarized(self) -> bool:
        """Whether a run has written its summary."""
        return self.books.sizes(["summary.json"]) != [-1]

    def _write(self, name: str, text: str) -> None:
        self.books.write(name, text.encode("utf-8", "backslashreplace"))


@contextmanager
def open_job(where: str | Path | Destination) -> Iterator[JobFolder]:
    """Open the books of a destination, which is made when it does not exist, and hold its lock.

    Raises:
        NotADirectoryError: the destination is a file.
        ValueError: it holds something else than a job's outputs.
        RuntimeError: it cannot be written, or another job is running on it.
    """
    destination = open_destination(where)
    with ExitStack() as stack:
        try:
            if not (destination / RESERVED).names() and destination.names():
                raise ValueError(f"destination {destination} holds other files: choose a new or empty folder")
            destination.create()
            held = stack.enter_context(destination.lock(f"{RESERVED}/lock"))
        except NotADirectoryError as error:
            raise NotADirectoryError(f"destination {destination} is not a folder: choose another one") from error
        except BlockingIOError as error:
            since = f" ({error})" if error.errno is None else ""  # what the destination knows of it
            raise RuntimeError(
                f"another job is running on {destination}{since}: wait until it ends, or choose another destination"
            ) from error
        except OSError as error:
            raise RuntimeError(f"destination {destination} cannot be written: {error.strerror or error}") from error
        yield JobFolder(destination, held)


def _values(column: pa.ChunkedArray) -> Iterator[Any]:
    """The values of a column, of which only a chunk at a time is in Python's hands."""
    for batch in pa.table({"": column}).to_batches(10_000):
        yield from batch.column(0).to_pylist()


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any, Any]]:
    """Leaves of what is wanted beside what is there."""
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            yield from _differences(before, value, f"{prefix}{key} ")
        elif isinstance(value, list) and isinstance(before, list) and len(value) == len(before):
            yield from ((f"{prefix}{key} {n}", *pair) for n, pair in enumerate(zip(before, value, strict=True), 1))
        else:
            yield prefix + key, before, value


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)  # as the manifest has it
    return text if len(text) <= 100 else text[:99] + "…"
