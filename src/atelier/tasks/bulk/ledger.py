"""Exactly-once bookkeeping of a bulk job: which input ended how.

An output is committed first and recorded then. So a row means a complete output, and an output without a row is redone
with the same bytes. Marks of what is in hand tell which picture took a worker down.
"""

import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atelier.tasks.storage.destination import Destination
from atelier.tasks.storage.open_destination import open_destination

STATES = ("done", "skipped", "quarantined", "pending")
STAGES = ("read", "decode", "stylize", "encode", "write")
FULL_BYTES = 16 * 2**20  # of a part: some 200,000 rows
PARALLEL = 8  # parts that are read at once
LEDGER_SCHEMA = pa.schema(
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
        ("seconds", pa.float32()),  # that an output took: opening, its share of a batch, encoding and writing
        ("attempt", pa.int32()),  # which run of the job this was, from 1
    ]
)


@dataclass(frozen=True)
class LedgerRow:
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
    seconds: float = 0.0
    attempt: int = 1


class Ledger:
    """Parquet parts in a folder; where parts disagree the latest attempt counts."""

    def __init__(self, folder: str | Path | Destination) -> None:
        """Keep books in a folder, which is made when it is first written."""
        self.folder = open_destination(folder)

    def append(self, rows: Iterable[LedgerRow]) -> None:
        """Add one part: durable when this returns, complete or not at all before."""
        table = pa.Table.from_pylist([asdict(row) for row in rows], schema=LEDGER_SCHEMA)
        if table.num_rows:
            self._write(table)

    def read(self, columns: Sequence[str] = tuple(LEDGER_SCHEMA.names)) -> pa.Table:
        """One row an input (of the schema `LEDGER_SCHEMA` these columns, and those that tell which row counts).

        Raises:
            ValueError: a part is damaged.
        """
        needed = [name for name in LEDGER_SCHEMA.names if name in (*columns, "input", "state", "attempt")]
        return _latest(self._read(self._parts(), needed))

    @property
    def attempts(self) -> int:
        """How many runs have recorded something."""
        return pc.max(self._read(self._parts(), ["attempt"])["attempt"]).as_py() or 0

    def compact(self) -> None:
        """Make one part of all parts that are not full; a kill in the middle leaves rows twice, which is harmless."""
        names = self._parts()
        parts = [n for n, size in zip(names, self.folder.sizes(names), strict=True) if size < FULL_BYTES]
        if len(parts) > 1:
            self._write(_latest(self._read(parts, LEDGER_SCHEMA.names)).sort_by("input"))
            self.folder.remove(parts)

    def _parts(self) -> list[str]:
        return [name for name in self.folder.names() if name.endswith(".parquet") and not name.startswith(".")]

    def _read(self, parts: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """All rows of parts, in the order of the parts."""
        schema = pa.schema([LEDGER_SCHEMA.field(name) for name in columns])

        def read(part: str) -> pa.Table:
            try:
                return pq.read_table(pa.BufferReader(self.folder.read(part)), schema=schema, columns=columns)
            except (pa.ArrowInvalid, OSError) as error:
                raise ValueError(
                    f"{self.folder}/{part} is damaged: delete it, and what it recorded is stylized again ({error})"
                ) from error

        with ThreadPoolExecutor(PARALLEL) as pool:
            return pa.concat_tables([schema.empty_table(), *pool.map(read, parts)])

    def _write(self, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.folder.write(f"{uuid.uuid4().hex}.parquet", sink.getvalue())


def _latest(rows: pa.Table) -> pa.Table:
    """The row of the latest attempt of every input; of equal attempts the one that ended well."""
    if pc.count_distinct(rows["input"]).as_py() == rows.num_rows:
        return rows
    rows = rows.take(pc.sort_indices(rows, [("attempt", "ascending"), ("state", "descending")]))
    places = rows.select(["input"]).append_column("place", pa.array(range(rows.num_rows), pa.int64()))
    return rows.take(places.group_by("input").aggregate([("place", "max")])["place_max"].sort())
