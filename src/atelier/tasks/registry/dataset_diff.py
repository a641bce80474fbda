"""Differences between two versions of the dataset: added and removed pictures, counted and shown on a contact sheet."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from atelier.tasks.dataset.shards import Shard, read_pictures
from atelier.tasks.evaluation.metric_catalogue import flat
from atelier.tasks.images.codec import Pixels, decode, encode
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.registry.dataset_versions import DatasetVersion, FileOpener, file_opener, read_version_card
from atelier.tasks.registry.dvc_objects import DvcObjects
from atelier.tasks.runtime.files import write
from atelier.tasks.workspace.layout import Workspace

SHOWN = 24  # added pictures of each domain, and as many removed ones
_ACROSS = 12
_CELL_PX = 96


@dataclass(frozen=True)
class ValueChange:
    """A changed value."""

    before: Any  # None if it is new
    after: Any


@dataclass(frozen=True)
class DatasetDiff:
    """Differences of the second version from the first."""

    before: str  # ids
    after: str
    added: dict[str, int]  # number of pictures by domain
    removed: dict[str, int]
    same: dict[str, int]
    parameters: dict[str, ValueChange]  # by dotted names
    sheet: str = ""  # path of the contact sheet, "" without one

    @property
    def summary(self) -> str:
        """The difference in a few lines."""
        lines = [f"dataset {self.before[:12]} → {self.after[:12]}"]
        width = max(map(len, self.same), default=0)
        lines += [
            f"  {domain:<{width}} {self.added[domain]:>7} added {self.removed[domain]:>7} removed {same:>7} the same"
            for domain, same in self.same.items()
        ]
        lines += [f"  {name}: {one.before} → {one.after}" for name, one in self.parameters.items()]
        return "\n".join([*lines, *([f"pictures: {self.sheet}"] if self.sheet else [])])


def diff_datasets(
    workspace: Workspace, objects: DvcObjects, before: DatasetVersion, after: DatasetVersion, sheet: Path | None
) -> DatasetDiff:
    """Compare two versions. Only shards that they do not share are read.

    Args:
        workspace: with the versions.
        objects: its DVC objects.
        before: the first version.
        after: the second version.
        sheet: PNG to write, of added and removed pictures; None writes none.

    Raises:
        MissingObject: the bytes of a version are missing.
        ValueError: a card is damaged.
    """
    cards = [read_version_card(workspace, objects, version) for version in (before, after)]
    opens = [file_opener(workspace, objects, version) for version in (before, after)]
    domains = sorted({domain for card in cards for domain in card.domains})
    shared = {shard.file for shard in cards[0].shards} & {shard.file for shard in cards[1].shards}
    came: dict[str, set[str]] = {}
    went: dict[str, set[str]] = {}
    own = [{d: [s for s in card.shards if s.domain == d and s.file not in shared] for d in domains} for card in cards]
    for domain in domains:
        old, new = (_ids(open, shards[domain]) for open, shards in zip(opens, own, strict=True))
        came[domain], went[domain] = new - old, old - new
    rows: list[list[Pixels | None]] = []
    labels: list[str] = []
    if sheet:
        for domain in domains:
            for ids, shards, open, word in ((came, own[1], opens[1], "added"), (went, own[0], opens[0], "removed")):
                some = sorted(ids[domain])[:SHOWN]  # ids are hashes, so these are random
                pictures = _pictures(open, shards[domain], some)
                for start in range(0, len(some), _ACROSS):
                    rows.append([decode(pictures[id]) for id in some[start : start + _ACROSS]])
                    labels.append(f"{domain}: {len(ids[domain])} {word}" if not start else "")
                if len(ids[domain]) > SHOWN:
                    labels[-1] = f"and {len(ids[domain]) - SHOWN} more"
        if rows:
            write(sheet, encode(contact_sheet(rows, labels, cell_px=_CELL_PX), "png"))
    return DatasetDiff(
        before=before.id,
        after=after.id,
        added={domain: len(came[domain]) for domain in domains},
        removed={domain: len(went[domain]) for domain in domains},
        same={domain: cards[1].rows(domain) - len(came[domain]) for domain in domains},
        parameters=changed_values(*(card.facts.get("parameters", {}) for card in cards)),
        sheet=str(sheet) if sheet and rows else "",
    )


def changed_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, ValueChange]:
    """The values that differ, by dotted names."""
    old, new = flat(before), flat(after)
    names = sorted(old.keys() | new.keys())
    return {name: ValueChange(old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def _ids(open: FileOpener, shards: Iterable[Shard]) -> set[str]:
    found: set[str] = set()
    for shard in shards:
        with open(shard.file) as file:
            found.update(pq.read_table(file, columns=["id"])["id"].to_pylist())
    return found


def _pictures(open: FileOpener, shards: Iterable[Shard], ids: list[str]) -> dict[str, bytes]:
    """The encoded pictures with these ids; other row groups are not read."""
    found: dict[str, bytes] = {}
    for shard in shards if ids else ():
        with open(shard.file) as file:
            found |= read_pictures(file, ids)
    return found
