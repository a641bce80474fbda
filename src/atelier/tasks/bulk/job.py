"""On-disk state of a bulk job, in `DEST/_atelier/`: manifest, output names, ledger and reports.

job.json          model, parameters, source and execution plan; a run of another job is refused
request.json      how the last run was asked for, to run or to show it again
names.parquet     input and output names, planned before the first picture is read
ledger/           final state of each input
running           exists during a run, and after a run that was killed
inflight/         crash markers, and counts for the display
lock              held during a run
summary.json      counts
quarantine.csv    quarantined inputs, with stage and reason
report.html       report with pictures
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atelier.tasks.bulk.crash_markers import CrashMarkers
from atelier.tasks.bulk.inputs import count_by_kind
from atelier.tasks.bulk.ledger import STATES, Ledger
from atelier.tasks.bulk.manifest import check_own, destination_errors, differences, in_words
from atelier.tasks.inference.execution_plan import ExecutionPlan, plans_of_record
from atelier.tasks.inference.output_names import RESERVED, plan_outputs
from atelier.tasks.runtime.files import csv_bytes
from atelier.tasks.storage.destination import OUTSIDE, Destination
from atelier.tasks.storage.open_destination import open_destination

RUNNING = "running"
NAMES = pa.schema([("input", pa.string()), ("output", pa.string())])
STATE_COLUMNS = ("input", "output", "state", "stage", "reason", "stamp", "bytes", "seconds", "attempt")  # of the ledger


@dataclass(frozen=True)
class JobState:
    """The state of a job: one row for each listed input, in the order of the listing."""

    rows: pa.Table  # `input` and `stamp` of the listing, the other `STATE_COLUMNS` of the ledger

    @property
    def counts(self) -> dict[str, int]:
        """Number of inputs by state. They add up, because every input has one row and one state."""
        found = {str(item["values"]): int(item["counts"]) for item in pc.value_counts(self.rows["state"]).to_pylist()}
        return {state: found.get(state, 0) for state in STATES}

    @property
    def skipped_kinds(self) -> dict[str, int]:
        """Number of skipped inputs by kind, the most frequent first."""
        return count_by_kind(self.rows.filter(pc.equal(self.rows["state"], "skipped"))["reason"])

    def inputs(self, state: str) -> set[str]:
        """Names of the inputs in a state."""
        return set(self.rows.filter(pc.equal(self.rows["state"], state))["input"].to_pylist())


class JobFolder:
    """The folder `_atelier` of a destination, whose lock is held."""

    def __init__(self, destination: Destination, lock_held: Callable[[], bool] = lambda: True) -> None:
        """Use the folder of a destination; `open_job` does this under the lock."""
        self.destination = destination
        self.folder = destination / RESERVED
        self.lock_held = lock_held
        self.ledger = Ledger(self.folder / "ledger")
        self.markers = CrashMarkers(self.folder / "inflight")

    def manifest(self) -> dict[str, Any]:
        """The content of job.json, {} before the first run.

        Raises:
            ValueError: it is damaged.
        """
        try:
            content = json.loads(self.folder.read("job.json"))
            if not (isinstance(content, dict) and isinstance(content.get("parameters", {}), dict)):
                raise ValueError("it holds no job")
            if not all(isinstance(step, dict) for step in content.get("then", [])):
                raise ValueError("it holds no chain")
            return content | {"since": int(content.get("since", 1))} if "since" in content else content
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{self.folder}/job.json is damaged ({error}): use another destination") from error

    def plans(self) -> tuple[ExecutionPlan, ...]:
        """The execution plans of the models with which the job began, none before they are chosen.

        Raises:
            RuntimeError: another version made it.
        """
        chosen = self.manifest().get("plan")
        try:
            return plans_of_record(chosen) if chosen else ()
        except TypeError as error:
            raise RuntimeError(
                f"the job in {self.destination} began with the execution plan {chosen}, which this version does not "
                "know: continue it with the version that began it, or use another destination"
            ) from error

    def match_manifest(self, wanted: dict[str, Any], defaults: dict[str, Any], *, replace: bool) -> tuple[int, bool]:
        """Check that the destination holds no other job; a job without any result is none. Changes nothing.

        Args:
            wanted: the manifest of the job.
            defaults: values of parameters that a manifest does not name.
            replace: whether the job may replace one with another model or other parameters.

        Returns:
            The first attempt whose ledger rows count, and whether the job replaces another one.

        Raises:
            ValueError: the destination holds another job; the message names the differences and the remedy.
        """
        if self._is_blank:
            return 1, False
        if existing := self.manifest():
            existing = {"then": []} | existing | {"parameters": defaults | existing.get("parameters", {})}
            wanted = {"then": []} | wanted | {"parameters": defaults | wanted["parameters"]}
        since = int(existing.get("since", 1))
        changed = [pair for pair in differences(existing, wanted) if pair[1] != pair[2]]
        if not changed:
            return since, False
        if replace and all(key.split()[0] in ("model", "then", "parameters") for key, _, _ in changed):
            return self.ledger.attempts + 1, True
        raise ValueError(
            f"{self.destination} holds another job: {'; '.join(in_words(existing, wanted, changed))}. Use another "
            "destination, or ask for what it was made with to continue it, or --replace to make its outputs again with "
            "another model or parameters"
        )

    @property
    def _is_blank(self) -> bool:
        """Whether there is no result of a job, nor any other file."""
        return not self.ledger.attempts and set(self.destination.names()) <= {RESERVED}

    def forget_blank(self) -> None:
        """Remove the manifest of a job without any result."""
        if self._is_blank:
            self.folder.remove(["job.json", "names.parquet"])

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write job.json if it differs."""
        if manifest != self.manifest():
            self._write("job.json", json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n")

    def plan_names(self, inputs: pa.ChunkedArray, format: str) -> pa.ChunkedArray:
        """The output name of every input. Names that were planned before, for this format, stay."""
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
            self.folder.write("names.parquet", sink.getvalue())
        return names["output"].take(pc.index_in(inputs, names["input"]))

    def _names(self, format: str) -> pa.Table:
        """The names planned for this format. Outputs of a replaced job with another format are removed."""
        try:
            table = pq.read_table(pa.BufferReader(self.folder.read("names.parquet")))
        except FileNotFoundError:
            return NAMES.empty_table()
        self._check_outputs("names.parquet", table["output"])
        if (table.schema.metadata or {}).get(b"format", format.encode()).decode() == format:
            return table.replace_schema_metadata()
        self.destination.remove(_values(table["output"]))
        return NAMES.empty_table()

    def _check_outputs(self, file: str, outputs: pa.ChunkedArray) -> None:
        """Check that outputs of a file lie in the destination, outside of this folder: some are removed or replaced.

        Raises:
            ValueError: one does not.
        """
        bad = outputs.filter(pc.match_substring_regex(outputs, f"{OUTSIDE.pattern}|^(?i:{RESERVED})(/|$)"))
        if len(bad):
            raise ValueError(
                f"{self.folder}/{file} names the output {bad[0].as_py()[:200]!r}, which is none of a job: it was "
                "changed or is damaged; use another destination"
            )

    def state(self, listing: pa.Table, since: int = 1, *, retry: bool = False) -> JobState:
        """Match listed inputs with the ledger. An input whose output is missing or cut is pending.

        Args:
            listing: a table with the columns `input` and `stamp`.
            since: first attempt whose ledger rows count.
            retry: whether quarantined inputs are pending again.
        """
        ledger = self.ledger.read(STATE_COLUMNS)
        found = ledger.take(pc.index_in(listing["input"], ledger["input"]))  # null without a row
        outputs = found["output"].drop_null()
        self._check_outputs("ledger", outputs.filter(pc.not_equal(outputs, "")))
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

    def start_run(self, state: JobState) -> None:
        """Remove leftovers of a killed run, and outputs of inputs that have changed since."""
        if self.folder.sizes([RUNNING]) != [-1]:
            self.destination.remove_leftovers()
        self.markers.clear()
        self.folder.write_unsynced(RUNNING, b"")
        pending = pc.equal(state.rows["state"], "pending")
        stale = state.rows.filter(pending)["output"].drop_null()
        kept = state.rows.filter(pc.invert(pending))["output"]  # an output may belong to another input now
        stale = stale.filter(pc.invert(pc.is_in(stale, kept)))
        self.destination.remove(name for name in _values(stale) if name)

    def finish_run(self, outputs: pa.ChunkedArray) -> None:
        """Clean up after a run that wrote these outputs: crashed workers leave temporary files."""
        folders = {name.rpartition("/")[0] for name in _values(outputs)}
        self.destination.remove_leftovers(folders | {"", RESERVED, f"{RESERVED}/ledger"})
        self.ledger.compact()
        self.markers.clear()
        self.folder.remove([RUNNING])

    def write_summary(self, summary: dict[str, Any], state: JobState, page: bytes) -> None:
        """Write the summary, the list of quarantined inputs and the report."""
        failed = state.rows.filter(pc.equal(state.rows["state"], "quarantined")).sort_by("input")
        columns = ("path", "stage", "reason")
        rows = [
            (row["input"], row["stage"], row["reason"]) for row in failed.select(["input", *columns[1:]]).to_pylist()
        ]
        self.folder.write("quarantine.csv", csv_bytes(columns, rows))
        self.folder.write("report.html", page)
        self._write("summary.json", json.dumps(summary, indent=2) + "\n")

    @property
    def has_summary(self) -> bool:
        """Whether a run has written its summary."""
        return self.folder.sizes(["summary.json"]) != [-1]

    def _write(self, name: str, text: str) -> None:
        self.folder.write(name, text.encode("utf-8", "backslashreplace"))


@contextmanager
def open_job(where: str | Path | Destination) -> Iterator[JobFolder]:
    """Open the job folder of a destination, which is created if needed, and hold its lock.

    Raises:
        NotADirectoryError: the destination is a file.
        ValueError: it holds something else than a job's outputs.
        RuntimeError: it cannot be written, or another job runs on it.
    """
    destination = open_destination(where)
    check_own(destination)
    with ExitStack() as stack:
        with destination_errors(destination):
            destination.create()
            lock_held = stack.enter_context(destination.lock(f"{RESERVED}/lock"))
        yield JobFolder(destination, lock_held)


def _values(column: pa.ChunkedArray) -> Iterator[Any]:
    """The values of a column, converted a chunk at a time to save memory."""
    for batch in pa.table({"": column}).to_batches(10_000):
        yield from batch.column(0).to_pylist()
