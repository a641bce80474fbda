"""The dataset: a folder of immutable Parquet shards and a `dataset.json` card.

A shard holds rows of one domain and one split, so a reader opens only what it needs. Shards are named by their
content and never change; new rows go to new shards, and two versions of a dataset share the files they share.
The `image` column follows the convention that Hugging Face `datasets` reads as it is.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atelier.models.files import temporary
from atelier.tasks.runtime.files import write

CARD = "dataset.json"
SPLITS = ("train", "holdout")
DOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # names of domains are parts of file names
_SHARD_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\.parquet")
SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # sha256 of the source file's bytes
        ("group", pa.string()),  # the parent's id for crops and frames, else the id
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),  # an encoded sRGB RGB8 picture
        ("domain", pa.string()),
        ("split", pa.string()),
        ("width", pa.int32()),  # pixels
        ("height", pa.int32()),  # pixels
        ("source", pa.string()),  # the source as written in params.yaml
        ("attributes", pa.string()),  # a JSON object, "{}" when there are none
    ]
)


@dataclass(frozen=True)
class Shard:
    """One immutable Parquet file of the dataset."""

    file: str
    sha256: str
    domain: str
    split: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Card:
    """The card of a dataset: its shards and facts, readable without opening a shard."""

    format: int
    shards: tuple[Shard, ...]
    facts: dict[str, Any] = field(default_factory=dict)  # of the stage that wrote it: counts, parameters

    @property
    def id(self) -> str:
        """sha256 over the shards' hashes: equal rows in equal shards have equal ids."""
        return hashlib.sha256("\n".join(sorted(s.sha256 for s in self.shards)).encode()).hexdigest()

    def rows(self, domain: str | None = None, split: str | None = None) -> int:
        """Number of rows of a domain and split, of all when not given."""
        return sum(s.rows for s in select(self.shards, domain, split))

    @property
    def domains(self) -> list[str]:
        """Names of the domains that have rows, sorted."""
        return sorted({s.domain for s in self.shards})


def split_of(group: str, holdout_share: float) -> str:
    """The split of a group: a function of the group alone, so growth moves no row and parents are never divided.

    A source may decide it: the group's name then begins with the split, as in "holdout:poster.png".
    """
    named, colon, _ = group.partition(":")
    if colon and named in SPLITS:
        return named
    position = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64
    return "holdout" if position < holdout_share else "train"


def fold_of(group: str, folds: int) -> int:
    """The fold of a group in cross-validation, 0…folds - 1: a function of the group alone, independent of its split."""
    return int.from_bytes(hashlib.sha256(b"fold:" + group.encode()).digest()[:8], "big") % folds


def _check(shard: Shard) -> None:
    """Refuse a shard that is no file of the dataset's own folder. Raises ValueError, TypeError."""
    if not _SHARD_FILE.fullmatch(shard.file) or not DOMAIN.fullmatch(shard.domain) or shard.split not in SPLITS:
        raise ValueError(f"{shard.file[:100]!r} of {shard.domain[:100]!r} is no shard")
    if any(type(number) is not int or number < 0 for number in (shard.rows, shard.bytes)):
        raise ValueError(f"{shard.file} has impossible sizes")


def select(shards: Iterable[Shard], domain: str | None = None, split: str | None = None) -> list[Shard]:
    """The shards of a domain and split, of all when not given."""
    return [s for s in shards if domain in (None, s.domain) and split in (None, s.split)]


def write_shard(folder: Path, rows: pa.Table, domain: str, split: str) -> Shard:
    """Write rows as one shard, named by its content, complete or not at all."""
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, not {split!r}")
    folder.mkdir(parents=True, exist_ok=True)
    with temporary(folder / f"{domain}-{split}") as draft:
        # pictures are compressed already: compressing the column again costs time and gains nothing
        pq.write_table(rows.cast(SCHEMA), draft, compression="none", row_group_size=256)
        with draft.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        final = folder / f"{domain}-{split}-{digest[:16]}.parquet"
        draft.replace(final)
    return Shard(final.name, digest, domain, split, rows.num_rows, final.stat().st_size)


def read_rows(
    folder: Path, card: Card, domain: str | None = None, split: str | None = None, columns: Sequence[str] | None = None
) -> pa.Table:
    """All rows of a domain and split in one table, in the card's order of shards."""
    shards = select(card.shards, domain, split)
    names = list(columns or SCHEMA.names)
    if not shards:
        return SCHEMA.empty_table().select(names)
    return pa.concat_tables(pq.read_table(folder / s.file, columns=names, partitioning=None) for s in shards)


def read_pictures(shard: Path | BinaryIO, ids: Sequence[str]) -> dict[str, bytes]:
    """The encoded pictures of some rows of a shard, by id; row groups without any are not read."""
    parquet, wanted = pq.ParquetFile(shard), pa.array(list(ids), pa.string())
    found: dict[str, bytes] = {}
    for group in range(parquet.num_row_groups):
        here = pc.is_in(parquet.read_row_group(group, ["id"])["id"], wanted)
        if pc.any(here).as_py():
            rows = parquet.read_row_group(group, ["id", "image"]).filter(here)
            found |= {row["id"]: row["image"]["bytes"] for row in rows.to_pylist()}
    return found


def write_card(folder: Path, card: Card) -> None:
    """Write the card, complete or not at all."""
    content = {"id": card.id, "format": card.format, "shards": [asdict(s) for s in card.shards], "facts": card.facts}
    write(folder / CARD, (json.dumps(content, indent=2, sort_keys=True) + "\n").encode())


def read_card(folder: Path) -> Card:
    """Read the card of a dataset folder.

    Raises:
        FileNotFoundError: there is no dataset here.
        ValueError: the card is damaged.
    """
    path = folder / CARD
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no dataset ({CARD} is missing): run `atelier ingest`")
    try:
        return parse_card(path.read_bytes(), path)
    except ValueError as error:
        raise ValueError(f"{error}: delete {folder} and run `atelier ingest` again") from error


def parse_card(data: bytes, path: Path) -> Card:
    """The card in the bytes of a file.

    Raises:
        ValueError: it is damaged; the message names `path`.
    """
    try:
        content = json.loads(data)
        shards = tuple(Shard(**s) for s in content["shards"])
        for shard in shards:
            _check(shard)
        return Card(content["format"], shards, dict(content["facts"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error})") from error
