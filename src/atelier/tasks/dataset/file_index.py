"""The state of ingest in a dataset folder: its shards, and an index of every file of the sources."""

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atelier.tasks.dataset.screening import Prepared
from atelier.tasks.dataset.shards import SCHEMA, Shard, read_card, write_shard
from atelier.tasks.runtime.files import write
from atelier.tasks.storage.entry import Entry

Row = tuple[str, str]  # domain and id


@dataclass(frozen=True)
class FileRecord:
    """A file of a source, and its state in the dataset."""

    SCHEMA: ClassVar[pa.Schema] = pa.schema(
        [
            *((name, pa.string()) for name in ("domain", "source", "name", "stamp", "group", "attributes")),
            *((name, pa.string()) for name in ("state", "reason", "id", "copy_of")),
            ("hash", pa.uint64()),
        ]
    )

    domain: str
    source: str
    name: str
    stamp: str  # changes when the file does
    group: str  # of the row, "" where there is none
    attributes: str
    state: str  # "" where it is in the dataset
    reason: str
    id: str
    copy_of: str  # id of the row that it is a copy of
    hash: int

    @classmethod
    def of(cls, domain: str, entry: Entry, state: str, reason: str, id: str, hash: int, copy_of: str) -> "FileRecord":
        """The record of an entry."""
        stamp, group = f"{entry.size} {entry.etag}", entry.group or id
        return cls(domain, entry.source, entry.name, stamp, group, entry.attributes, state, reason, id, copy_of, hash)


@dataclass(frozen=True)
class IngestState:
    """A dataset as the last run left it."""

    shards: tuple[Shard, ...] = ()
    files: dict[tuple[str, str, str], FileRecord] = field(default_factory=dict)  # by domain, source, name

    @property
    def rows(self) -> set[Row]:
        """Domain and id of every row."""
        return {(file.domain, file.id) for file in self.files.values() if not file.state}

    def unchanged(self, domain: str, entry: Entry) -> FileRecord | None:
        """The record of a file that has not changed since."""
        old = self.files.get((domain, entry.source, entry.name))
        if old is None or entry.problem:
            return None
        expected = FileRecord.of(domain, entry, old.state, old.reason, old.id, old.hash, old.copy_of)
        return old if old == expected else None

    def holds(self, file: FileRecord) -> bool:
        """Whether a file's row is there as it would be written: the file was touched, but not changed."""
        old = self.files.get((file.domain, file.source, file.name))
        row = file.id, file.group, file.attributes
        return old is not None and not old.state and (old.id, old.group, old.attributes) == row


def read_state(out: Path, parameters: dict[str, Any]) -> IngestState:
    """The state of a dataset that was made with these parameters; empty where it is missing, damaged or of others."""
    try:
        card = read_card(out)
        if card.facts["parameters"] != json.loads(json.dumps(parameters)):
            return IngestState()
        if any((out / shard.file).stat().st_size != shard.bytes for shard in card.shards):
            return IngestState()
        rows = pq.read_table(out / card.facts["index"], partitioning=None).to_pylist()
        files = [FileRecord(**row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return IngestState()  # all can be made again from the sources
    return IngestState(card.shards, {(file.domain, file.source, file.name): file for file in files})


class RowWriter:
    """New rows collected into shards, one domain and split each."""

    def __init__(self, out: Path, shard_bytes: int) -> None:
        self.out = out
        self.shard_bytes = shard_bytes
        self.shards: list[Shard] = []
        self.waiting: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.size: dict[tuple[str, str], int] = {}

    def add(self, file: FileRecord, prepared: Prepared, split: str) -> None:
        """Add a row; its shard is written when it is large enough."""
        key = (file.domain, split)
        self.waiting.setdefault(key, []).append(
            {
                "id": file.id,
                "group": file.group,
                "image": {"bytes": prepared.png, "path": file.name},
                "domain": file.domain,
                "split": split,
                "width": prepared.width,
                "height": prepared.height,
                "source": file.source,
                "attributes": file.attributes,
            }
        )
        self.size[key] = self.size.get(key, 0) + len(prepared.png)
        if self.size[key] >= self.shard_bytes:
            self._write(key)

    def finish(self, existing: Iterable[Shard], gone: set[Row]) -> list[Shard]:
        """Write waiting rows, and rewrite existing shards that hold rows which are gone.

        Returns:
            All shards of the dataset.
        """
        for key in list(self.waiting):
            self._write(key)
        stay = []
        for shard in existing:
            ids = [id for domain, id in gone if domain == shard.domain]
            found = pq.read_table(self.out / shard.file, columns=["id"], partitioning=None)["id"] if ids else None
            if found is None or not pc.any(pc.is_in(found, pa.array(ids, pa.string()))).as_py():
                stay.append(shard)
                continue
            table = pq.read_table(self.out / shard.file, partitioning=None)
            table = table.filter(pc.invert(pc.is_in(table["id"], pa.array(ids, pa.string()))))
            if table.num_rows:
                self.shards.append(write_shard(self.out, table, shard.domain, shard.split))
        return [*stay, *self.shards]

    def remove(self, existing: Iterable[Shard]) -> None:
        """Delete what was written, after a failure."""
        for file in {shard.file for shard in self.shards} - {shard.file for shard in existing}:
            (self.out / file).unlink(missing_ok=True)

    def clean(self, shards: Iterable[Shard], index: str) -> None:
        """Delete files that are no part of the dataset, such as those of a killed run."""
        used = {index, *(shard.file for shard in shards)}
        for path in [*self.out.glob("*.parquet"), *self.out.glob(".*.tmp")]:
            if path.name not in used:
                path.unlink(missing_ok=True)

    def _write(self, key: tuple[str, str]) -> None:
        table = pa.Table.from_pylist(self.waiting.pop(key), schema=SCHEMA)
        self.size.pop(key)
        self.shards.append(write_shard(self.out, table, *key))


def write_index(out: Path, files: Sequence[FileRecord]) -> str:
    """Write the index; its name is a hash of its content, and the card names it."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([asdict(file) for file in files], schema=FileRecord.SCHEMA), buffer)
    # readers of datasets skip names that begin with an underscore
    name = f"_index-{hashlib.sha256(buffer.getvalue()).hexdigest()[:16]}.parquet"
    write(out / name, buffer.getvalue())
    return name
