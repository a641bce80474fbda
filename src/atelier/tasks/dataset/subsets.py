"""Subsets of a dataset for measurement: a function of the dataset, so that every run takes the same pictures."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as pads

from atelier.tasks.dataset.shards import Card, Shard, fold_of, read_rows, select

MANY_GROUPS = 20  # with fewer held-out parents the numbers are called indicative


@dataclass(frozen=True)
class Picture:
    """One picture of a dataset."""

    id: str
    group: str
    name: str  # the path of its file in the source
    data: bytes  # the encoded picture
    attributes: str  # a JSON object


def held_out_pictures(
    folder: Path, card: Card, domain: str, most: int, fold: tuple[int, int] | None = None
) -> list[Picture]:
    """Pictures of a domain that training has not seen; the same dataset gives the same pictures.

    Args:
        fold: k and K take the pictures of the training split that are in fold k of K, instead of the held-out split.

    Raises:
        ValueError: there are fewer than two.
    """
    split = "train" if fold else "holdout"
    rows = read_rows(folder, card, domain, split, ["id", "group"]).to_pylist()
    ids = [row["id"] for row in rows if fold is None or fold_of(row["group"], fold[1]) == fold[0]]
    if len(ids) < 2:
        raise ValueError(
            f"{len(ids)} pictures of {domain!r} are held out and at least 2 are needed (the dataset has "
            f"{', '.join(card.domains)}): raise ingest.holdout_share or add pictures"
        )
    ids = stable_sample(ids, most)
    found = {picture.id: picture for picture in _read(folder, select(card.shards, domain, split), ids)}
    return [found[i] for i in ids]


def training_pictures(folder: Path, card: Card, domain: str, most: int) -> Iterator[list[Picture]]:
    """Pictures of a domain's training split, shard by shard; the same dataset gives the same pictures."""
    ids = stable_sample(read_rows(folder, card, domain, "train", ["id"])["id"].to_pylist(), most)
    for shard in select(card.shards, domain, "train"):
        yield _read(folder, [shard], ids)


def stable_sample(ids: Iterable[str], most: int) -> list[str]:
    """At most so many, in the order of a hash: random and stable."""
    return sorted(ids, key=lambda i: hashlib.sha256(i.encode()).digest())[:most]


def batches(pictures: Sequence[Picture], batch: int) -> list[Sequence[Picture]]:
    """Pictures in groups of `batch`; the last may be smaller."""
    return [pictures[i : i + batch] for i in range(0, len(pictures), batch)]


def files(pictures: Sequence[Picture]) -> list[bytes]:
    """The encoded pictures."""
    return [picture.data for picture in pictures]


def spread(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """Some pictures, from as many groups as possible, in a stable order."""
    seen: Counter[str] = Counter()
    turns: list[tuple[int, int]] = []
    for picture in pictures:
        turns.append((seen[picture.group], len(turns)))
        seen[picture.group] += 1
    return [pictures[place] for _, place in sorted(turns)[:count]]


def _read(folder: Path, shards: Sequence[Shard], ids: Sequence[str]) -> list[Picture]:
    table = pads.dataset([folder / shard.file for shard in shards], format="parquet").to_table(
        columns=["id", "group", "image", "attributes"], filter=pc.field("id").isin(ids)
    )
    return [
        Picture(r["id"], r["group"], r["image"]["path"], r["image"]["bytes"], r["attributes"])
        for r in table.to_pylist()
    ]
