"""Augmentation: from the dataset's training split to the training set, shard by shard.

Each picture becomes `copies` square variants. Random draws of a variant are a function of seed, picture id and number
of the copy, and a work item is a function of its dataset shard alone: the same seed gives the same bytes
with any number of workers.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from atelier.tasks.dataset.augment_config import AugmentConfig
from atelier.tasks.dataset.shards import CARD, SCHEMA, Card, Shard, read_card, select, write_card, write_shard
from atelier.tasks.images import codec
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.runtime.files import write
from atelier.tasks.runtime.progress import Progress, Report
from atelier.tasks.workspace.format_versions import AUGMENT

CONTACT_SHEET = "contact_sheet.png"
SPLIT = "train"

_PARTS = 16  # output shards for each dataset shard: enough to keep a cluster busy and to show progress
_MIN_ROWS = 16  # pictures in a part of a small shard
_SHEET_ROWS = 3  # pictures of each domain on the contact sheet
_SHEET_COLUMNS = 6  # variants of each, at most


@dataclass(frozen=True)
class AugmentSummary:
    """Counts of an augmentation."""

    id: str  # of the training set
    pictures: dict[str, int]  # pictures of the dataset, by domain
    variants: dict[str, int]  # pictures of the training set, by domain
    bytes: int  # of all shards


@dataclass(frozen=True)
class _Part:
    """A run of rows of one dataset shard: the unit of work, and one shard of the training set."""

    shard: Shard
    start: int
    rows: int


def augment(config: AugmentConfig, dataset_folder: Path, out: Path, report: Report) -> AugmentSummary:
    """Write the training set of a dataset's training split into `out`, which is replaced, by Ray Data.

    The card is written last: a folder without one is not a training set, so a crash leaves none.

    Raises:
        FileNotFoundError: there is no dataset.
        ValueError: the dataset has no picture to train with.
    """
    card = read_card(dataset_folder)
    total = card.rows(split=SPLIT)
    if total == 0:
        raise ValueError(f"{dataset_folder} has no picture in its {SPLIT} split: ingest more pictures")
    dataset_folder, out = dataset_folder.resolve(), out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    (out / CARD).unlink(missing_ok=True)
    kept = card.shards if config.held_out else select(card.shards, split=SPLIT)
    parts = [part for shard in kept for part in _parts(shard)]
    total = sum(part.rows for part in parts)
    written: dict[int, Shard] = {}
    done = 0
    report(Progress("augment", 0, total, "images"))
    for index, shard in _run(config, dataset_folder, out, parts):
        written[index] = shard
        done += parts[index].rows
        report(Progress("augment", done, total, "images", f"{config.copies} variants each"))
    # in the order of the work, not of its completion
    shards = tuple(written[i] for i in range(len(parts)))
    for stale in {path.name for path in out.glob("*.parquet")} - {shard.file for shard in shards}:
        (out / stale).unlink()
    write(out / CONTACT_SHEET, codec.encode(_sheet(config, dataset_folder, card), "png"))
    facts = {"dataset": card.id, "augment": json.loads(json.dumps(asdict(config)))}
    result = Card(AUGMENT, shards, facts)
    write_card(out, result)
    return AugmentSummary(
        id=result.id,
        pictures={domain: card.rows(domain, SPLIT) for domain in result.domains},
        variants={domain: result.rows(domain, SPLIT) for domain in result.domains},
        bytes=sum(shard.bytes for shard in shards),
    )


def _parts(shard: Shard) -> Iterator[_Part]:
    size = max(_MIN_ROWS, -(-shard.rows // _PARTS))
    for start in range(0, shard.rows, size):
        yield _Part(shard, start, min(size, shard.rows - start))


def _run(config: AugmentConfig, source: Path, out: Path, parts: list[_Part]) -> Iterator[tuple[int, Shard]]:
    """Do all parts on the cluster, and yield each when it is written."""
    import ray.data  # slow to import

    def work(row: dict[str, Any]) -> dict[str, Any]:
        import torch

        # one thread a task: Ray gives each one CPU
        torch.set_num_threads(1)
        part = parts[row["index"]]
        rows = [made for read in _read(source, part) for made in _variants(config, read)]
        shard = write_shard(out, pa.Table.from_pylist(rows, SCHEMA), part.shard.domain, part.shard.split)
        return {"index": row["index"], "shard": asdict(shard)}

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it logs every run to the console
    context = ray.data.DataContext.get_current()
    shown, context.enable_progress_bars = context.enable_progress_bars, False
    try:
        # one block for each part, so that each is reported when it is done
        items = ray.data.from_items([{"index": i} for i in range(len(parts))], override_num_blocks=len(parts))
        for row in items.map(work).iter_rows():
            yield row["index"], Shard(**row["shard"])
    finally:
        context.enable_progress_bars = shown


def _read(folder: Path, part: _Part) -> Iterator[dict[str, Any]]:
    """The rows of a part, opening only the row groups that hold them."""
    file = pq.ParquetFile(folder / part.shard.file)
    first = 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        start, stop = max(part.start, first), min(part.start + part.rows, first + rows)
        if start < stop:
            yield from file.read_row_group(group).slice(start - first, stop - start).to_pylist()
        first += rows


def _variants(config: AugmentConfig, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of the training set that a row of the dataset becomes."""
    from atelier.tasks.dataset.transforms import variant

    picture = codec.decode(row["image"]["bytes"])
    path = Path(row["image"]["path"] or row["id"])
    for copy in range(config.copies if row["split"] == SPLIT else 1):
        content = codec.encode(variant(config, picture, row["domain"], row["id"], copy), "png")
        yield row | {
            "id": hashlib.sha256(content).hexdigest(),
            "image": {"bytes": content, "path": path.with_name(f"{path.stem}-{copy}.png").as_posix()},
            "width": config.size_px,
            "height": config.size_px,
        }


def _sheet(config: AugmentConfig, folder: Path, card: Card) -> codec.Pixels:
    """The contact sheet: pictures of each domain beside their variants."""
    from atelier.tasks.dataset.transforms import variant

    cells, labels = [], []
    copies = min(config.copies, _SHEET_COLUMNS)
    for domain in card.domains:
        shards = select(card.shards, domain, SPLIT)
        rows = [row for shard in shards[:1] for row in _read(folder, _Part(shard, 0, min(_SHEET_ROWS, shard.rows)))]
        for row in rows:
            picture = codec.decode(row["image"]["bytes"])
            cells.append([picture, *(variant(config, picture, domain, row["id"], copy) for copy in range(copies))])
            labels.append(domain)
    return contact_sheet(cells, labels, ["original", *(f"variant {i + 1}" for i in range(copies))])
