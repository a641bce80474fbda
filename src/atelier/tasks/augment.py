"""Augmentation: from the dataset's training split to the training set, shard by shard.

Each picture becomes `copies` square variants. All that is drawn for a variant is a function of the seed, the picture's
id and the number of the copy, and a work item is a function of its dataset shard alone: so the same seed gives the
same bytes whatever the number of workers.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from atelier.tasks import dataset, images
from atelier.tasks.contact_sheet import contact_sheet
from atelier.tasks.progress import Progress, Report

FORMAT = 2
CONTACT_SHEET = "contact_sheet.png"
SPLIT = "train"

_PARTS = 16  # output shards for each dataset shard: enough to keep a cluster busy and a person informed
_MIN_ROWS = 16  # pictures in a part of a small shard
_SHEET_ROWS = 3  # pictures of each domain on the contact sheet
_SHEET_COLUMNS = 6  # variants of each, at most


@dataclass(frozen=True)
class DomainAugmentation:
    """What may happen to a picture of one domain. Every amount is drawn evenly from its range for each variant."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    flip_horizontal: float = field(
        default=0.5, metadata={"description": "probability of a left-right flip, 0…1", "ge": 0, "le": 1}
    )
    flip_vertical: float = field(
        default=0.0, metadata={"description": "probability of an upside-down flip, 0…1", "ge": 0, "le": 1}
    )
    crop_area: tuple[float, float] = field(
        default=(0.6, 1.0),
        metadata={"description": "area of the random square crop as a share of the largest square in the picture, 0…1"},
    )
    rotation_deg: float = field(
        default=3.0,
        metadata={
            "description": "largest rotation to either side, in degrees; borders are mirrored",
            "ge": 0,
            "le": 180,
        },
    )
    brightness: float = field(
        default=0.0, metadata={"description": "largest shift of brightness, as a share of white", "ge": 0, "le": 1}
    )
    contrast: float = field(
        default=0.0, metadata={"description": "largest relative change of contrast", "ge": 0, "le": 1}
    )
    saturation: float = field(
        default=0.0, metadata={"description": "largest relative change of saturation", "ge": 0, "le": 1}
    )
    hue_deg: float = field(
        default=0.0, metadata={"description": "largest turn of the hue, in degrees", "ge": 0, "le": 180}
    )
    blur_probability: float = field(
        default=0.0, metadata={"description": "probability of a Gaussian blur, 0…1", "ge": 0, "le": 1}
    )
    blur_sigma_px: tuple[float, float] = field(
        default=(0.3, 1.0), metadata={"description": "standard deviation of the blur, in output pixels"}
    )
    noise_probability: float = field(
        default=0.0, metadata={"description": "probability of Gaussian noise, 0…1", "ge": 0, "le": 1}
    )
    noise_std: tuple[float, float] = field(
        default=(0.005, 0.02), metadata={"description": "standard deviation of the noise, as a share of white"}
    )

    def __post_init__(self) -> None:
        """Refuse ranges that are none."""
        for name, least, most in (("crop_area", 0.01, 1.0), ("blur_sigma_px", 0.0, 16.0), ("noise_std", 0.0, 1.0)):
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ValueError(f"augment: {name} is ({low}, {high}), must be a range within {least}…{most}")


# A photograph may come from any camera; the colours of a painting are its style, and stay as they are.
_PHOTOS = DomainAugmentation(brightness=0.05, contrast=0.1, saturation=0.1)


@dataclass(frozen=True)
class AugmentConfig:
    """How the training set is made from the dataset."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    size_px: int = field(
        default=128, metadata={"description": "width and height of a training picture, in pixels", "ge": 16, "le": 2048}
    )
    copies: int = field(default=3, metadata={"description": "variants of each picture", "ge": 1, "le": 1000})
    seed: int = field(default=0, metadata={"description": "seed of every random draw", "ge": 0})
    default: DomainAugmentation = field(
        default_factory=DomainAugmentation, metadata={"description": "settings of every domain not named below"}
    )
    domains: dict[str, DomainAugmentation] = field(
        default_factory=lambda: {"photos": _PHOTOS}, metadata={"description": "settings of single domains, by name"}
    )

    def of(self, domain: str) -> DomainAugmentation:
        """The settings of a domain."""
        return self.domains.get(domain, self.default)


@dataclass(frozen=True)
class AugmentSummary:
    """What a run of the stage made."""

    id: str  # of the training set
    pictures: dict[str, int]  # pictures of the dataset, by domain
    variants: dict[str, int]  # pictures of the training set, by domain
    bytes: int  # of all shards


@dataclass(frozen=True)
class _Part:
    """A run of rows of one dataset shard: the unit of work, and one shard of the training set."""

    shard: dataset.Shard
    start: int
    rows: int


def augment(config: AugmentConfig, dataset_folder: Path, out: Path, report: Report) -> AugmentSummary:
    """Write the training set of a dataset into a folder, by Ray Data.

    The card is written last: a folder without one is not a training set, so a crash leaves none.

    Args:
        config: what is done to the pictures.
        dataset_folder: the dataset; only its training split is read.
        out: the training set's folder; one that exists is replaced.
        report: told the number of pictures that are done.

    Raises:
        FileNotFoundError: there is no dataset.
        ValueError: the dataset has no picture to train with.
    """
    card = dataset.read_card(dataset_folder)
    total = card.rows(split=SPLIT)
    if total == 0:
        raise ValueError(f"{dataset_folder} has no picture in its {SPLIT} split: ingest more pictures")
    dataset_folder, out = dataset_folder.resolve(), out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    (out / dataset.CARD).unlink(missing_ok=True)
    parts = [part for shard in dataset.select(card.shards, split=SPLIT) for part in _parts(shard)]
    written: dict[int, dataset.Shard] = {}
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
    sheet = images.encode(_sheet(config, dataset_folder, card), "png")
    (out / f".{CONTACT_SHEET}").write_bytes(sheet)
    (out / f".{CONTACT_SHEET}").replace(out / CONTACT_SHEET)
    facts = {"dataset": card.id, "augment": json.loads(json.dumps(asdict(config)))}
    result = dataset.Card(FORMAT, shards, facts)
    dataset.write_card(out, result)
    return AugmentSummary(
        id=result.id,
        pictures={domain: card.rows(domain, SPLIT) for domain in result.domains},
        variants={domain: result.rows(domain) for domain in result.domains},
        bytes=sum(shard.bytes for shard in shards),
    )


def _parts(shard: dataset.Shard) -> Iterator[_Part]:
    size = max(_MIN_ROWS, -(-shard.rows // _PARTS))
    for start in range(0, shard.rows, size):
        yield _Part(shard, start, min(size, shard.rows - start))


def _run(config: AugmentConfig, source: Path, out: Path, parts: list[_Part]) -> Iterator[tuple[int, dataset.Shard]]:
    """Do all parts on the cluster, and yield each when it is written."""

    import ray.data  # slow to import, and this module holds parameters that every command reads

    def work(row: dict[str, Any]) -> dict[str, Any]:
        import torch

        # one thread a task: Ray gives each one CPU
        torch.set_num_threads(1)
        part = parts[row["index"]]
        rows = [made for read in _read(source, part) for made in _variants(config, read)]
        shard = dataset.write_shard(out, pa.Table.from_pylist(rows, dataset.SCHEMA), part.shard.domain, SPLIT)
        return {"index": row["index"], "shard": asdict(shard)}

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it announces every run on the console
    context = ray.data.DataContext.get_current()
    shown, context.enable_progress_bars = context.enable_progress_bars, False
    try:
        # a block a part, so that each is reported when it is done
        items = ray.data.from_items([{"index": i} for i in range(len(parts))], override_num_blocks=len(parts))
        for row in items.map(work).iter_rows():
            yield row["index"], dataset.Shard(**row["shard"])
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
    from atelier.tasks.variants import variant

    picture = images.decode(row["image"]["bytes"])
    path = Path(row["image"]["path"] or row["id"])
    for copy in range(config.copies):
        content = images.encode(variant(config, picture, row["domain"], row["id"], copy), "png")
        yield row | {
            "id": hashlib.sha256(content).hexdigest(),
            "image": {"bytes": content, "path": path.with_name(f"{path.stem}-{copy}.png").as_posix()},
            "width": config.size_px,
            "height": config.size_px,
        }


def _sheet(config: AugmentConfig, folder: Path, card: dataset.Card) -> images.Pixels:
    """Pictures of each domain beside their variants."""
    from atelier.tasks.variants import variant

    cells, labels = [], []
    copies = min(config.copies, _SHEET_COLUMNS)
    for domain in card.domains:
        shards = dataset.select(card.shards, domain, SPLIT)
        rows = [row for shard in shards[:1] for row in _read(folder, _Part(shard, 0, min(_SHEET_ROWS, shard.rows)))]
        for row in rows:
            picture = images.decode(row["image"]["bytes"])
            cells.append([picture, *(variant(config, picture, domain, row["id"], copy) for copy in range(copies))])
            labels.append(domain)
    return contact_sheet(cells, labels, ["original", *(f"variant {i + 1}" for i in range(copies))])
