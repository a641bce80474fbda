"""The ledger of a bulk job: the final state of every input, so that each input is processed exactly once.

An output is committed before its row is written. A row therefore means a complete output, and an output without a row
is made again with the same bytes.
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
FULL_BYTES = 16 * 2**20  # size from which a part is full: about 200,000 rows
PARALLEL = 8  # parts read at the same time
LEDGER_SCHEMA = pa.schema(
    [
        ("input", pa.string()),  # name in the source
        ("output", pa.string()),  # path below the destination, "" without an output
        ("state", pa.string()),  # one of STATES, never "pending"
        ("stage", pa.string()),  # of the failure, one of STAGES, else ""
        ("reason", pa.string()),  # of skipping or quarantine, else ""
        ("stamp", pa.string()),  # size and etag of the listed input: a change means another picture
        ("input_sha256", pa.string()),
        ("output_sha256", pa.string()),
        ("bytes", pa.int64()),  # of the output
        ("seconds", pa.float32()),  # of reading, decoding, the share of a batch, encoding and writing
        ("attempt", pa.int32()),  # number of the run, from 1
    ]
)


@dataclass(frozen=True)
class LedgerRow:
    """The final state of one input; the columns of `LEDGER_SCHEMA`."""

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
    """A folder of Parquet parts. If parts disagree on an input, its latest attempt counts."""

    def __init__(self, folder: str | Path | Destination) -> None:
        """Use a folder, which is created by the first write."""
        self.folder = open_destination(folder)

    def append(self, rows: Iterable[LedgerRow]) -> None:
        """Write one part, atomically; it is durable when this returns."""
        table = pa.Table.from_pylist([asdict(row) for row in rows], schema=LEDGER_SCHEMA)
        if table.num_rows:
            self._write(table)

    def read(self, columns: Sequence[str] = tuple(LEDGER_SCHEMA.names)) -> pa.Table:
        """One row per input.

        Args:
            columns: of `LEDGER_SCHEMA`; `input`, `state` and `attempt` are always included.

        Raises:
            ValueError: a part is damaged.
        """
        needed = [name for name in LEDGER_SCHEMA.names if name in (*columns, "input", "state", "attempt")]
        return _latest(self._read(self._parts(), needed))

    @property
    def attempts(self) -> int:
        """Number of the last run that wrote a row, 0 before the first."""
        return pc.max(self._read(self._parts(), ["attempt"])["attempt"]).as_py() or 0

    def compact(self) -> None:
        """Merge all parts that are not full into one. A kill in between leaves duplicate rows, which is harmless."""
        names = self._parts()
        parts = [n for n, size in zip(names, self.folder.sizes(names), strict=True) if size < FULL_BYTES]
        if len(parts) > 1:
            self._write(_latest(self._read(parts, LEDGER_SCHEMA.names)).sort_by("input"))
            self.folder.remove(parts)

    def _parts(self) -> list[str]:
        return [name for name in self.folder.names() if name.endswith(".parquet") and not name.startswith(".")]

    def _read(self, parts: Sequence[str], columns: Sequence[str]) -> pa.Table:
        """The rows of some parts, in the order of the parts."""
        schema = pa.schema([LEDGER_SCHEMA.field(name) for name in columns])

        def read(part: str) -> pa.Table:
            try:
                return pq.read_table(pa.BufferReader(self.folder.read(part)), schema=schema, columns=columns)
            except (pa.ArrowInvalid, OSError) as error:
                raise ValueError(
                    f"{self.folder}/{part} is damaged: delete it, and its inputs are stylized again ({error})"
                ) from error

        with ThreadPoolExecutor(PARALLEL) as pool:
            return pa.concat_tables([schema.empty_table(), *pool.map(read, parts)])

    def _write(self, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        self.folder.write(f"{uuid.uuid4().hex}.parquet", sink.getvalue())


def _latest(rows: pa.Table) -> pa.Table:
    """For each input the row of its latest attempt; `done` wins among equal attempts."""
    if pc.count_distinct(rows["input"]).as_py() == rows.num_rows:
        return rows
    rows = rows.take(pc.sort_indices(rows, [("attempt", "ascending"), ("state", "descending")]))
    places = rows.select(["input"]).append_column("place", pa.array(range(rows.num_rows), pa.int64()))
    return rows.take(places.group_by("input").aggregate([("place", "max")])["place_max"].sort())
