"""Exactly-once bookkeeping of a bulk job: which input ended how, committed so that a kill at any moment loses nothing.

An output is written to a temporary file beside its target, synced, renamed, its folder synced, and only then recorded
in the ledger. So a row means a complete output; an output without a row is redone with the same bytes; and a
temporary file that is left behind is rubbish. Marks of what is in hand tell which picture took a worker down.
"""

import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

STATES = ("done", "skipped", "quarantined", "pending")
STAGES = ("read", "decode", "stylize", "encode", "write")
TEMPORARY = ".atelier-"  # what the names of temporary files begin with; inputs with such names are hidden files
ROWS = pa.schema(
    [
        ("input", pa.string()),  # name in the source
        ("output", pa.string()),  # path below the destination, "" where there is none
        ("state", pa.string()),  # one of STATES, never "pending"
        ("stage", pa.string()),  # where it failed, one of STAGES, else ""
        ("reason", pa.string()),  # why it was skipped or quarantined, else ""
        ("stamp", pa.string()),  # size and etag of the input as it was listed: another one is another picture
        ("input_sha256", pa.string()),
        ("output_sha256", pa.string()),
        ("bytes", pa.int64()),  # of the output
        ("attempt", pa.int32()),  # which run of the job this was, from 1
    ]
)


@dataclass(frozen=True)
class Row:
    """How one input ended."""

    input: str
    state: str
    output: str = ""
    stage: str = ""
    reason: str = ""
    stamp: str = ""
    input_sha256: str = ""
    output_sha256: str = ""
    bytes: int = 0
    attempt: int = 1


class Ledger:
    """Parquet parts in a folder; where parts disagree the latest attempt counts."""

    def __init__(self, folder: Path) -> None:
        """Keep books in a folder, which is made when it is first written."""
        self.folder = folder

    def append(self, rows: Iterable[Row]) -> None:
        """Add one part: durable when this returns, complete or not at all before."""
        table = pa.Table.from_pylist([asdict(row) for row in rows], schema=ROWS)
        if table.num_rows:
            self._write(table)

    def read(self) -> pa.Table:
        """One row an input (schema `ROWS`).

        Raises:
            ValueError: a part is damaged.
        """
        parts = self._parts()
        return _latest(self._read(parts)) if parts else ROWS.empty_table()

    @property
    def attempts(self) -> int:
        """How many runs have recorded something."""
        return max(self.read()["attempt"].to_pylist(), default=0)

    def compact(self) -> pa.Table:
        """Make one part of all parts and return its rows; a kill in the middle leaves rows twice, which is harmless."""
        parts = self._parts()
        rows = self.read()
        if len(parts) > 1:
            self._write(rows.sort_by("input"))
            for part in parts:
                part.unlink()
        return rows

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))

    def _read(self, parts: list[Path]) -> pa.Table:
        tables = []
        for part in parts:
            try:
                tables.append(pq.read_table(part, schema=ROWS, partitioning=None))
            except (pa.ArrowInvalid, OSError) as error:
                raise ValueError(
                    f"{part} is damaged: delete it, and what it recorded is stylized again ({error})"
                ) from error
        return pa.concat_tables(tables)

    def _write(self, table: pa.Table) -> None:
        self.folder.mkdir(exist_ok=True)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        write_durably(self.folder / f"{uuid.uuid4().hex}.parquet", sink.getvalue())


def _latest(rows: pa.Table) -> pa.Table:
    """The row of the latest attempt of every input; of equal attempts the one that ended well."""
    order = pc.sort_indices(rows, [("attempt", "ascending"), ("state", "descending")])
    last = dict(zip(rows["input"].take(order).to_pylist(), order.to_pylist(), strict=True))
    return rows.take(pa.array(last.values(), pa.uint64()))


class Marks:
    """Small files that say what the workers of a run have in hand, so that a crash leaves its suspects behind.

    A run begins by clearing them: a job that was stopped from outside says nothing against its pictures.
    """

    def __init__(self, folder: Path) -> None:
        """Keep books in a folder, which is made when it is first written."""
        self.folder = folder

    def clear(self) -> None:
        """Forget all suspicion."""
        self.folder.mkdir(exist_ok=True)
        for mark in self.folder.iterdir():
            mark.unlink()

    def history(self, name: str) -> list[str]:
        """The stages that this input entered and was never seen to leave, oldest first."""
        try:
            return (self.folder / _key(name)).read_text().split()
        except FileNotFoundError:
            return []

    def enter(self, name: str, stage: str) -> None:
        """Say that an input enters a stage."""
        with (self.folder / _key(name)).open("a") as mark:
            mark.write(f"{stage}\n")

    def leave(self, name: str) -> None:
        """Say that an input has ended."""
        (self.folder / _key(name)).unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a job's lock, which ends with the process that holds it, however that ends.

    Raises:
        BlockingIOError: another process holds it.
    """
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def write_beside(target: Path, data: Any, attempt: str) -> Path:
    """Write a synced temporary file beside its target, with the attempt in its name."""
    temporary = target.parent / f"{TEMPORARY}{attempt}-{_key(target.name)}.tmp"
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def commit(target: Path, data: Any, attempt: str) -> None:
    """Write a file, complete or not at all; `sync_folder` makes its name durable."""
    temporary = write_beside(target, data, attempt)
    try:
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_durably(target: Path, data: Any) -> None:
    """Write a file, durable when this returns, complete or not at all before."""
    commit(target, data, uuid.uuid4().hex[:8])
    sync_folder(target.parent)


def remove_leftovers(destination: Path) -> int:
    """Remove the temporary files that a killed run left anywhere below the destination; returns how many."""
    count = 0
    for folder, _, files in os.walk(destination):
        for file in files:
            if file.startswith(TEMPORARY) and file.endswith(".tmp"):
                Path(folder, file).unlink(missing_ok=True)
                count += 1
    return count


def _key(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:24]
