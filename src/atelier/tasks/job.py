"""The books of a bulk job, in `DEST/_atelier/`: what it is, what its outputs are called, and how far it is.

job.json          model, parameters, source and execution plan: another job is refused here
names.parquet     input and output names, planned before the first picture is touched
ledger/           how each input ended
summary.json      the counts
quarantine.csv    what failed, at which stage, and why
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atelier.tasks.ledger import STATES, Ledger, Marks, locked, remove_leftovers, write_durably
from atelier.tasks.naming import RESERVED, plan_outputs
from atelier.tasks.whole_files import csv_bytes

FORMAT = 1
NAMES = pa.schema([("input", pa.string()), ("output", pa.string())])


@dataclass(frozen=True)
class Standing:
    """How far a job is: one row an input of the source as it is now."""

    rows: pa.Table  # input and stamp of the listing, output, state, stage and reason of the ledger

    @property
    def counts(self) -> dict[str, int]:
        """Inputs by state; they balance, since every input has one row and one state."""
        found = {str(item["values"]): int(item["counts"]) for item in pc.value_counts(self.rows["state"]).to_pylist()}
        return {state: found.get(state, 0) for state in STATES}

    def inputs(self, state: str) -> set[str]:
        """Names of the inputs in a state."""
        return set(self.rows.filter(pc.equal(self.rows["state"], state))["input"].to_pylist())


class Job:
    """The books of one destination, whose lock is held."""

    def __init__(self, destination: Path) -> None:
        """Take the books of a destination in hand; `open_job` does this under the lock."""
        self.destination = destination
        self.books = destination / RESERVED
        self.ledger = Ledger(self.books / "ledger")
        self.marks = Marks(self.books / "inflight")

    def manifest(self) -> dict[str, Any]:
        """What this job is, {} when there is none yet.

        Raises:
            ValueError: it is damaged.
        """
        path = self.books / "job.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}): use another destination") from error

    def agree(self, wanted: dict[str, Any], defaults: dict[str, Any]) -> None:
        """Make sure that this destination holds no other job; one that never came to anything is forgotten.

        Args:
            wanted: what the job is to be.
            defaults: values of parameters that there were not yet when it began.

        Raises:
            ValueError: it does; says what differs and what to do.
        """
        existing = self.manifest()
        if all(path.name == RESERVED for path in self.destination.iterdir()) and not self.ledger.read().num_rows:
            for name in ("job.json", "names.parquet"):
                (self.books / name).unlink(missing_ok=True)
            return
        if existing:
            existing["parameters"] = defaults | existing.get("parameters", {})
        differences = [
            f"{key} {_short(old)}, not {_short(new)}" for key, old, new in _differences(existing, wanted) if old != new
        ]
        if differences:
            raise ValueError(
                f"{self.destination} holds a job with {'; '.join(differences)}: "
                "use another destination, or the same model, source and parameters to continue that job"
            )

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Say what this job is, where that is new."""
        if manifest != self.manifest():
            self._write("job.json", json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n")

    def plan_names(self, inputs: list[str], format: str) -> dict[str, str]:
        """The output of every input; what was planned once stays."""
        path = self.books / "names.parquet"
        taken: dict[str, str] = {}
        if path.exists():
            table = pq.read_table(path, schema=NAMES, partitioning=None)
            taken = dict(zip(table["input"].to_pylist(), table["output"].to_pylist(), strict=True))
        if all(name in taken for name in inputs):
            return taken
        planned = taken | plan_outputs(inputs, format, taken)
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table([list(planned), list(planned.values())], schema=NAMES), sink, compression="zstd")
        write_durably(path, sink.getvalue())
        return planned

    def standing(self, listing: pa.Table) -> Standing:
        """Match what the source holds with the ledger; an output that is gone or was cut makes its input pending.

        Args:
            listing: a table with the columns `input` and `stamp`.
        """
        ledger = self.ledger.read().rename_columns({"stamp": "recorded"})
        rows = listing.select(["input", "stamp"]).join(ledger, "input")
        valid = pc.fill_null(pc.equal(rows["stamp"], rows["recorded"]), False)
        state = pc.if_else(valid, rows["state"], "pending").to_pylist()
        facts = zip(rows["output"].to_pylist(), rows["bytes"].to_pylist(), strict=True)
        for index, (output, size) in enumerate(facts):
            if state[index] == "done" and _size(f"{self.destination}/{output}") != size:
                state[index] = "pending"
        at = rows.schema.get_field_index("state")
        return Standing(rows.set_column(at, "state", pa.array(state, pa.string())))

    def clean(self, standing: Standing) -> None:
        """Remove what a killed run left, and outputs of inputs that have changed since."""
        remove_leftovers(self.destination)
        self.marks.clear()
        stale = standing.rows.filter(pc.equal(standing.rows["state"], "pending"))
        for output in filter(None, stale["output"].to_pylist()):
            (self.destination / output).unlink(missing_ok=True)

    def write_summary(self, summary: dict[str, Any], standing: Standing) -> None:
        """Write the counts and the quarantine list."""
        failed = standing.rows.filter(pc.equal(standing.rows["state"], "quarantined")).sort_by("input")
        columns = ("path", "stage", "reason")
        rows = [(row["input"], row["stage"], row["reason"]) for row in failed.to_pylist()]
        write_durably(self.books / "quarantine.csv", csv_bytes(columns, rows))
        self._write("summary.json", json.dumps(summary, indent=2) + "\n")

    @property
    def summarized(self) -> bool:
        """Whether a run has written its summary."""
        return (self.books / "summary.json").exists()

    def _write(self, name: str, text: str) -> None:
        write_durably(self.books / name, text.encode("utf-8", "backslashreplace"))


@contextmanager
def open_job(destination: Path) -> Iterator[Job]:
    """Open the books of a destination, which is made when it does not exist, and hold its lock.

    Raises:
        NotADirectoryError: the destination is a file.
        ValueError: it holds something else than a job's outputs.
        RuntimeError: it cannot be written, or another job is running on it.
    """
    if destination.exists() and not destination.is_dir():
        raise NotADirectoryError(f"destination {destination} is not a folder: choose another one")
    try:
        if destination.exists() and not (destination / RESERVED).is_dir() and any(destination.iterdir()):
            raise ValueError(f"destination {destination} holds other files: choose a new or empty folder")
        (destination / RESERVED).mkdir(parents=True, exist_ok=True)
        lock = locked(destination / RESERVED / "lock")
        lock.__enter__()
    except BlockingIOError as error:
        raise RuntimeError(
            f"another job is running on {destination}: wait until it ends, or choose another destination"
        ) from error
    except OSError as error:
        raise RuntimeError(f"destination {destination} cannot be written: {error.strerror}") from error
    try:
        yield Job(destination)
    finally:
        lock.__exit__(None, None, None)


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


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (this runs for every output, and a Path costs more than the call)
    except OSError:
        return -1
