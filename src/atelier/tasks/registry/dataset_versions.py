"""Versions of the dataset: those of registered models, and the current one of the workspace.

Nothing is checked out: cards and shards are read from DVC's cache or remote.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from atelier.tasks.dataset.shards import CARD, SPLITS, Card, parse_card, read_card
from atelier.tasks.registry.dvc_objects import DvcObjects, MissingObject, tracked_outputs
from atelier.tasks.registry.resolve import find_version
from atelier.tasks.registry.tags import PROD, VERSION, Version, list_models, list_versions
from atelier.tasks.workspace.layout import Workspace

NOW = "now"  # name of the version in the workspace
_MIN_PREFIX = 4  # characters of an id that are enough to name it

FileOpener = Callable[[str], AbstractContextManager[BinaryIO]]


@dataclass(frozen=True)
class DatasetVersion:
    """A version of the dataset."""

    id: str
    date: str  # first registration of a model trained on it, or else its creation; ISO 8601
    rows: dict[str, dict[str, int]]  # number of pictures by domain and split; empty if the card is missing
    bytes: int
    models: tuple[str, ...]  # versions trained on it, as style-model@v1.2.0, the newest last
    now: bool  # whether it is the version in the workspace
    problem: str  # why it cannot be read, else ""

    @property
    def pictures(self) -> int:
        """Number of all pictures."""
        return sum(sum(splits.values()) for splits in self.rows.values())


def list_datasets(workspace: Workspace, objects: DvcObjects) -> list[DatasetVersion]:
    """All versions, the newest first."""
    trained: dict[str, list[Version]] = {}
    for model in list_models(workspace):
        for version in list_versions(workspace, model):
            if version.dataset:
                trained.setdefault(version.dataset, []).append(version)
    present = read_card(workspace.dataset) if (workspace.dataset / CARD).is_file() else None
    found = []
    for id, versions in trained.items():
        versions.reverse()  # the oldest first, also within a second
        versions.sort(key=lambda version: datetime.fromisoformat(version.registered))
        date, models = versions[0].registered, tuple(version.name for version in versions)
        if present and present.id == id:
            found.append(_described(present, date, models, now=True))
            continue
        try:
            card = _read_card(workspace, objects, versions[-1].name)
            found.append(_described(card, date, models, now=False))
        except (RuntimeError, ValueError) as error:
            found.append(DatasetVersion(id, date, {}, 0, models, False, str(error)))
    if present and present.id not in trained:
        made = datetime.fromtimestamp((workspace.dataset / CARD).stat().st_mtime, UTC)
        found.insert(0, _described(present, made.isoformat(timespec="seconds"), (), now=True))
    return sorted(found, key=lambda one: datetime.fromisoformat(one.date), reverse=True)  # stable within a second


def find_dataset(workspace: Workspace, objects: DvcObjects, name: str) -> DatasetVersion:
    """The version of the dataset with a name.

    Args:
        workspace: with the versions.
        objects: its DVC objects.
        name: `now`, the beginning of an id, or a version of a model: v1.2.0, prod, style-model-STYLE@prod.

    Raises:
        ValueError: no version has the name, or several have it.
        FileNotFoundError: there is no dataset yet.
    """
    known = list_datasets(workspace, objects)
    if name == NOW:
        if not any(one.now for one in known):
            read_card(workspace.dataset)  # raises the error with the remedy
        matching = [one for one in known if one.now]
    elif "@" in name or name == PROD or VERSION.match(name):
        id = find_version(workspace, name).dataset
        matching = [one for one in known if one.id == id]
    else:
        matching = [one for one in known if _is_hex(name) and one.id.startswith(name)]
    if len(matching) == 1:
        return matching[0]
    ids = ", ".join(one.id[:12] for one in (matching or known)) or "none"
    problem = "is the beginning of several datasets" if matching else "is no dataset"
    raise ValueError(f"{name!r} {problem}: there are {ids}; `{NOW}`, prod and v1.2.0 name one too")


def read_version_card(workspace: Workspace, objects: DvcObjects, version: DatasetVersion) -> Card:
    """The card of a version.

    Raises:
        MissingObject: it is missing.
        ValueError: it is damaged.
    """
    return read_card(workspace.dataset) if version.now else _read_card(workspace, objects, version.models[-1])


def file_opener(workspace: Workspace, objects: DvcObjects, version: DatasetVersion) -> FileOpener:
    """A function that opens a file of a version by its name.

    Raises:
        MissingObject: the list of files is missing.
    """
    if version.now:
        return lambda file: (workspace.dataset / file).open("rb")
    files = _files(workspace, objects, version.models[-1])
    return lambda file: objects.open(files[file])


def _read_card(workspace: Workspace, objects: DvcObjects, model: str) -> Card:
    """The card of a model version's training dataset."""
    return parse_card(objects.read(_files(workspace, objects, model)[CARD]), Path(_path(workspace)) / CARD)


def _files(workspace: Workspace, objects: DvcObjects, model: str) -> dict[str, str]:
    """Files and hashes of a model version's training dataset."""
    digest = tracked_outputs(workspace, find_version(workspace, model)).get(_path(workspace), "")
    files = objects.files(digest) if digest else {}
    if CARD not in files:
        raise MissingObject(f"the commit of {model} names no dataset")
    return files


def _described(card: Card, date: str, models: tuple[str, ...], *, now: bool) -> DatasetVersion:
    rows = {domain: {split: card.rows(domain, split) for split in SPLITS} for domain in card.domains}
    size = sum(shard.bytes for shard in card.shards)
    return DatasetVersion(card.id, date, rows, size, models, now, "")


def _path(workspace: Workspace) -> str:
    return workspace.dataset.relative_to(workspace.root).as_posix()


def _is_hex(name: str) -> bool:
    return len(name) >= _MIN_PREFIX and set(name) <= set("0123456789abcdef")
