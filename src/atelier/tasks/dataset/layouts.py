"""Layouts of sources: which files are pictures, and the attributes that other files give them.

`folder` takes every picture; `imagefolder` adds the class that the first folder names; `cifar` reads CIFAR's binary
version (Krizhevsky 2009); `coco` adds the categories that COCO's instance files annotate. `auto` recognises CIFAR and
COCO by the names of their files and is `folder` otherwise. A file of attributes, CSV or CelebA's, joins any of them.
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from atelier.models.settings import Settings, setting
from atelier.tasks.storage import cifar
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.file_source import file_entry
from atelier.tasks.storage.open_source import list_files, locate, read, select_pictures

MAX_LABEL_BYTES = 2**30  # of an attribute or annotation file
COCO_FILE = re.compile(r"(^|/)annotations/[^/]*\.json$")


@dataclass(frozen=True)
class SourceConfig(Settings):
    """Where pictures of a domain come from, and how they are kept there."""

    path: str = field(
        metadata={
            "description": "folder, picture, .zip, .tar (.gz, .zst) or list of paths (.txt, .lst, .parquet), also at "
            "s3:// URLs, or sample://NAME; relative to the workspace"
        }
    )
    layout: Literal["auto", "folder", "imagefolder", "cifar", "coco"] = setting(
        "auto", "auto, folder (all pictures), imagefolder (a folder a class), cifar (binary) or coco"
    )
    attributes: str = setting("", "file of attributes: CSV (first column the picture's name) or CelebA's list_attr")


@dataclass(frozen=True)
class Listing:
    """What a source holds."""

    entries: tuple[Entry, ...]  # pictures in the order of the source
    label_files: tuple[Entry, ...] = ()  # annotations, labels, attributes


def list_source(source: SourceConfig, base: Path) -> Listing:
    """List a source's pictures with the attributes that its layout gives them.

    Raises:
        FileNotFoundError: the source or its attribute file does not exist.
        ValueError: it holds no picture, or is not in the layout that was named.
    """
    layout = source.layout
    files = list(list_files(source.path, base))
    if layout == "auto":
        layout = _recognise(files)
    if layout == "cifar":
        listing = _cifar(source.path, files)
    elif layout == "coco":
        listing = _coco(source.path, files)
    else:
        entries = select_pictures(source.path, files)
        listing = Listing(tuple(_with_class(e) for e in entries) if layout == "imagefolder" else tuple(entries))
    return _join_attributes(listing, source.attributes, base) if source.attributes else listing


def _recognise(files: list[Entry]) -> Literal["cifar", "coco", "folder"]:
    names = {PurePosixPath(entry.name).name for entry in files}
    if names & (cifar.BATCHES | cifar.PICKLES):
        return "cifar"
    return "coco" if any(COCO_FILE.search(entry.name) and "instances" in entry.name for entry in files) else "folder"


def _with_class(entry: Entry) -> Entry:
    parts = PurePosixPath(entry.name).parts
    return replace(entry, attributes=_json({"class": parts[0]})) if len(parts) > 1 else entry


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
    label_files = [entry for entry in files if COCO_FILE.search(entry.name) and not entry.problem]
    if not label_files:
        raise ValueError(f"source {spec} has no COCO annotations: annotations/*.json are missing")
    categories: dict[str, set[str]] = {}
    for entry in label_files:
        try:
            content = json.loads(_text(entry))
            names = {category["id"]: str(category["name"]) for category in content.get("categories", ())}
            names_of = {picture["id"]: str(picture["file_name"]) for picture in content["images"]}
            for file in names_of.values():
                categories.setdefault(PurePosixPath(file).name, set())
            for annotation in content.get("annotations", ()):
                if "category_id" in annotation:  # captions and key points have none
                    file = PurePosixPath(names_of[annotation["image_id"]]).name
                    categories[file].add(names[annotation["category_id"]])
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{entry.name} of source {spec} is not a COCO annotation file: {error!r}") from error
    entries = []
    for entry in select_pictures(spec, files):
        found = categories.get(PurePosixPath(entry.name).name)
        entries.append(entry if found is None else replace(entry, attributes=_json({"categories": sorted(found)})))
    return Listing(tuple(entries), tuple(label_files))


def _join_attributes(listing: Listing, file: str, base: Path) -> Listing:
    path = locate(file, base)
    entry = file_entry(path.name, file, path, path.parent)
    rows = dict(_attribute_rows(file, _text(entry)))
    entries, joined = [], 0
    for picture in listing.entries:
        said = rows.get(picture.name) or rows.get(PurePosixPath(picture.name).name)
        joined += said is not None
        entries.append(replace(picture, attributes=_json(json.loads(picture.attributes) | said)) if said else picture)
    if not joined:
        raise ValueError(f"{file} names none of the pictures: its first column must hold their file names")
    return Listing(tuple(entries), (*listing.label_files, entry))


def _attribute_rows(file: str, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Picture names and their attributes, from CSV or CelebA's format (a count, the names, then rows of 1 and -1)."""
    lines = text.splitlines()
    if len(lines) > 2 and lines[0].strip().isdecimal():
        names = lines[1].split()
        for number, line in enumerate(lines[2:], 3):
            name, *values = line.split() or [""]
            if name and len(values) != len(names):
                raise ValueError(f"{file}, line {number}: {len(values)} values for {len(names)} attributes")
            if name:
                yield name, {key: value == "1" for key, value in zip(names, values, strict=True)}
        return
    reader = csv.reader(lines)
    try:
        header = next(reader, [])
        for row in reader:
            if row and len(row) != len(header):
                raise ValueError(f"{file}, line {reader.line_num}: {len(row)} cells under {len(header)} headings")
            if row:
                yield row[0], dict(zip(header[1:], row[1:], strict=True))
    except csv.Error as error:
        raise ValueError(f"{file}, line {reader.line_num}: not CSV: {error}") from error


def _text(entry: Entry) -> str:
    try:
        return read(entry, MAX_LABEL_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{entry.name} of source {entry.source} is not UTF-8 text") from error


def _json(attributes: dict[str, Any]) -> str:
    return json.dumps(attributes, sort_keys=True, ensure_ascii=False)
