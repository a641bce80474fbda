"""Layouts of sources: which files are pictures, and the attributes that other files give them.

`folder` takes every picture; `imagefolder` adds the class that the first folder names, below folders of splits;
`cifar` reads CIFAR's binary version (Krizhevsky 2009); `coco` adds the categories that COCO's instance files annotate.
`auto` recognises CIFAR and COCO by the names of their files and is `folder` otherwise. A file of attributes, CSV or
CelebA's, joins any of them.
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pyarrow as pa

from atelier.models.settings import Settings, setting
from atelier.tasks.dataset import coco
from atelier.tasks.dataset.attribute_file import read_table
from atelier.tasks.storage import cifar
from atelier.tasks.storage.companion_files import DATA, TEXT, kinds_in_listing
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.file_source import file_entry
from atelier.tasks.storage.open_source import list_files, locate, read, select_pictures
from atelier.tasks.storage.source_limits import SourceLimits

MAX_LABEL_BYTES = 2**30  # of an attribute or annotation file
MAX_SPLIT_LEVEL = 2  # folders above splits, such as images/
SPLIT_FOLDER = re.compile(
    r"(train|training|trn|val|valid|validation|dev|test|testing|tst|eval|evaluation|holdout)"
    r"([_-]?\d{1,4})?([_-]?(set|images|data|split))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class SourceConfig(Settings):
    """Where pictures of a domain come from, and how they are kept there."""

    path: str = field(
        metadata={
            "description": "folder, picture, .zip, .tar (.gz, .zst) or list of paths (.txt, .lst, .parquet), also at "
            "s3:// URLs, sample://NAME, or windows://FOLDER of a few pictures; relative to the workspace"
        }
    )
    layout: Literal["auto", "folder", "imagefolder", "cifar", "coco"] = setting(
        "auto", "auto, folder (all pictures), imagefolder (a folder a class), cifar (binary) or coco"
    )
    attributes: str = setting("", "file of attributes: CSV (first column the picture's name) or CelebA's list_attr")
    follow_links: tuple[str, ...] = setting((), "folders below which the targets of links may lie, besides the source")


@dataclass(frozen=True)
class Listing:
    """What a source holds."""

    entries: tuple[Entry, ...]  # pictures in the order of the source
    label_files: tuple[Entry, ...] = ()  # annotations, labels, attributes
    skipped: dict[str, int] = field(default_factory=dict)  # files that are no pictures, by kind
    labels: dict[str, int] = field(default_factory=dict)  # labels without a picture, pictures without a label


def list_source(source: SourceConfig, base: Path) -> Listing:
    """List a source's pictures with the attributes that its layout gives them.

    Raises:
        FileNotFoundError: the source or its attribute file does not exist.
        ValueError: it holds no picture, or is not in the layout that was named, or labels fit no picture.
    """
    layout = source.layout
    files = _files(source, base)
    by_name = [entry for entry in files if entry.skipped in ("", TEXT, DATA)]  # such files may be labels
    if layout == "auto":
        layout = _recognise(by_name)
    if layout == "cifar":
        listing = _cifar(source.path, by_name)
    elif layout == "coco":
        listing = _coco(source.path, by_name)
    else:
        entries = list(select_pictures(source.path, files))
        listing = Listing(tuple(_with_classes(entries) if layout == "imagefolder" else entries))
    used = {entry.name for entry in listing.label_files}
    used |= {str(PurePosixPath(entry.name).parent) for entry in listing.entries if entry.record >= 0}
    skipped = Counter(entry.skipped for entry in files if entry.skipped and entry.name not in used)
    listing = replace(listing, skipped=dict(sorted(skipped.items())))
    return _join_attributes(listing, source.attributes, base) if source.attributes else listing


def _files(source: SourceConfig, base: Path) -> list[Entry]:
    """All files of a source, with the kinds of those that are no pictures."""
    files = list(list_files(source.path, base, SourceLimits(follow_links=source.follow_links)))
    columns = (pa.chunked_array([[getattr(e, name) for e in files]], pa.string()) for name in ("name", "member"))
    for index, kind in kinds_in_listing(*columns).items():
        files[index] = replace(files[index], skipped=files[index].skipped or kind)
    return files


def _recognise(files: list[Entry]) -> Literal["cifar", "coco", "folder"]:
    names = {PurePosixPath(entry.name).name for entry in files}
    if names & (cifar.BATCHES | cifar.PICKLES):
        return "cifar"
    return "coco" if any(coco.FILE.search(entry.name) and "instances" in entry.name for entry in files) else "folder"


def _with_classes(entries: list[Entry]) -> Iterator[Entry]:
    """The entries with the class that the first folder names; folders of splits above it are no classes."""
    folders = [PurePosixPath(entry.name).parts[:-1] for entry in entries]
    split_level = _split_level(folders)
    for entry, parts in zip(entries, folders, strict=True):
        below = parts[split_level:]
        while split_level >= 0 and below and SPLIT_FOLDER.fullmatch(below[0]):
            below = below[1:]
        below = below if split_level >= 0 else parts
        yield replace(entry, attributes=_json({"class": below[0]})) if below else entry


def _split_level(folders: list[tuple[str, ...]]) -> int:
    """The depth at which every folder is a split, such as train and test; -1 where there is none.

    Above it there may be folders that all pictures share. One folder of another name among them makes all of them
    classes: of vehicles, "train" is one.
    """
    for level in range(MAX_SPLIT_LEVEL + 1):
        names = {parts[level] if len(parts) > level else "" for parts in folders}
        if all(SPLIT_FOLDER.fullmatch(name) for name in names):
            return level
        if len(names) > 1 or "" in names:
            return -1
    return -1


def _cifar(spec: str, files: list[Entry]) -> Listing:
    """Every record of the batches as a picture."""
    by_name = {PurePosixPath(entry.name).name: entry for entry in files}
    batches = [entry for name, entry in sorted(by_name.items()) if name in cifar.BATCHES]
    if not batches:
        if by_name.keys() & cifar.PICKLES:
            raise ValueError(
                f"source {spec} holds CIFAR's Python pickles, which can run any code and are not opened: "
                "use the binary version (cifar-10-binary.tar.gz, cifar-100-binary.tar.gz)"
            )
        raise ValueError(f"source {spec} holds no CIFAR batches ({', '.join(sorted(cifar.BATCHES))})")
    labels = [by_name[name] for name in cifar.LABELS if name in by_name]
    names = {PurePosixPath(entry.name).name: _text(entry).split("\n") for entry in labels}
    entries = []
    for batch in batches:
        records = cifar.read_labels(PurePosixPath(batch.name).name, read(batch, MAX_LABEL_BYTES), names)
        entries += [
            replace(batch, name=f"{batch.name}/{number:05}.png", record=number, attributes=_json(said))
            for number, said in enumerate(records)
        ]
    return Listing(tuple(entries), tuple(labels))


def _coco(spec: str, files: list[Entry]) -> Listing:
    """Every picture, with the names of the categories that are annotated in it."""
    label_files = [entry for entry in files if coco.FILE.search(entry.name) and not entry.problem]
    if not label_files:
        raise ValueError(f"source {spec} has no COCO annotations: annotations/*.json are missing")
    pictures = list(select_pictures(spec, files))
    texts = {entry.name: _text(entry) for entry in label_files}
    categories, counts = coco.read_categories(texts, [entry.name for entry in pictures], spec)
    counts["pictures without annotation"] += sum(entry.name not in categories for entry in pictures)
    entries = (
        replace(entry, attributes=_json({"categories": sorted(categories[entry.name])}))
        if entry.name in categories
        else entry
        for entry in pictures
    )
    return Listing(tuple(entries), tuple(label_files), labels=_nonzero(counts))


def _join_attributes(listing: Listing, file: str, base: Path) -> Listing:
    path = locate(file, base)
    entry = file_entry(path.name, file, path, [path.parent])
    rows, joined = read_table(file, _text(entry)).join(file, [picture.name for picture in listing.entries])
    entries = tuple(
        replace(picture, attributes=_json(json.loads(picture.attributes) | rows[picture.name]))
        if picture.name in rows
        else picture
        for picture in listing.entries
    )
    counts = Counter(listing.labels)
    counts["rows of missing pictures"] += len(joined.missing)
    counts["rows with a name that several pictures have"] += len(joined.ambiguous)
    counts["pictures without a row"] += len(entries) - len(rows)
    return replace(listing, entries=entries, label_files=(*listing.label_files, entry), labels=_nonzero(counts))


def _text(entry: Entry) -> str:
    """The text of a label file, in UTF-8 or, where a mark at its beginning says so, UTF-16."""
    data = read(entry, MAX_LABEL_BYTES)
    try:
        return data.decode("utf-16" if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{entry.name} of source {entry.source} is not UTF-8 text") from error


def _json(attributes: dict[str, Any]) -> str:
    return json.dumps(attributes, sort_keys=True, ensure_ascii=False)


def _nonzero(counts: Counter[str]) -> dict[str, int]:
    return {what: count for what, count in sorted(counts.items()) if count}
