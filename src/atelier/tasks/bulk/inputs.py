"""The inputs of a job: every file of its sources, in one table that stays small at a million rows."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from atelier.models.settings import Settings, setting
from atelier.tasks.bulk.messages import ENTRY_FIELDS
from atelier.tasks.images.formats import VIDEO_FORMAT_OF_SUFFIX, is_video
from atelier.tasks.storage.companion_files import VIDEO, kinds_in_listing
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.list_file import LIST_SUFFIXES
from atelier.tasks.storage.open_source import ARCHIVE_SUFFIXES, NoPictures, list_files
from atelier.tasks.storage.source_limits import DEFAULT_LIMITS, SourceLimits

INPUT_SCHEMA = pa.schema({"input": pa.string(), "stamp": pa.string(), "skipped": pa.string(), **ENTRY_FIELDS})
BATCH_ROWS = 10_000


@dataclass(frozen=True)
class Selection(Settings):
    """Which files of the sources are inputs of this run. The job's totals count only these."""

    include: tuple[str, ...] = setting((), "globs on the path in the source, * crosses folders; none means all")
    exclude: tuple[str, ...] = setting((), "globs of paths that are left out")
    limit: int | None = setting(None, "only so many pictures, the first of the sources; null means all", ge=1)
    bounds: SourceLimits = setting(DEFAULT_LIMITS, "limits on archives and lists")

    def chosen(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """The entries of a source that match the globs."""
        if not (self.include or self.exclude):
            return entries
        wanted, unwanted = _any(self.include or ("*",)), _any(self.exclude)
        return (entry for entry in entries if wanted.match(entry.name) and not unwanted.match(entry.name))


ALL_INPUTS = Selection()


def list_inputs(sources: Sequence[str], base: Path, selection: Selection = ALL_INPUTS) -> pa.Table:
    """List every file of the sources (schema `INPUT_SCHEMA`), pictures or not.

    With several sources, the names of inputs begin with the name of their source, so that they differ.

    Args:
        sources: each as `open_source.list_files` reads it.
        base: folder of relative sources.
        selection: which files are inputs.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: a source is damaged or of no supported kind, or (NoPictures) no selected file is a picture.
    """
    folders = _folders(sources) if len(sources) > 1 else [""]
    entries = (
        replace(entry, name=folder + entry.name) if folder else entry
        for folder, source in zip(folders, sources, strict=True)
        for entry in selection.chosen(input_files(source, base, selection.bounds))
    )
    batches: list[pa.RecordBatch] = []
    pictures = 0
    while part := list(itertools.islice(entries, BATCH_ROWS)):
        batches.append(_batch(part))
        pictures += sum(not entry.skipped for entry in part)
        if selection.limit is not None and pictures >= 2 * selection.limit:  # half of them may be raw files of others
            break
    table = _with_kinds(pa.Table.from_batches(batches, INPUT_SCHEMA))
    if selection.limit is not None:
        table = _first(table, selection.limit)
    if not pc.any(pc.equal(table["skipped"], "")).as_py():
        matching = " that match the globs" if selection.include or selection.exclude else ""
        raise NoPictures(
            f"source {', '.join(sources)} holds no pictures{matching}: put pictures there or name another source"
        )
    return _unique(table)


def input_files(source: str, base: Path, bounds: SourceLimits) -> Iterator[Entry]:
    """Every file of a source, as `open_source.list_files` lists it; videos are inputs like pictures."""
    for entry in list_files(source, base, bounds):
        yield replace(entry, skipped="") if entry.skipped == VIDEO and is_video(entry.name) else entry


def are_videos(names: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether each file is a video, as `formats.is_video` says, in one pass over a million names."""
    suffixes = "|".join(suffix.removeprefix(".") for suffix in VIDEO_FORMAT_OF_SUFFIX)
    return pc.match_substring_regex(names, rf"(?is)[^/]\.(?:{suffixes})\z")


def count_by_kind(kinds: pa.ChunkedArray) -> dict[str, int]:
    """Number of skipped files of each kind, the most frequent first."""
    found = [(item["values"], item["counts"]) for item in pc.value_counts(kinds).to_pylist() if item["values"]]
    return dict(sorted(found, key=lambda pair: (-pair[1], pair[0])))


def kinds_text(counts: dict[str, int]) -> str:
    """Numbers of skipped files by kind, for people."""
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items())


def evenly_spaced(table: pa.Table, most: int) -> pa.Table:
    """Up to `most` rows at equal distances."""
    count = min(table.num_rows, most)
    return table.take(pa.array([index * table.num_rows // count for index in range(count)], pa.int64()))


def _any(globs: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, globs)) or r"(?!)")


def _folders(sources: Sequence[str]) -> list[str]:
    """A folder name for each source, from its own name; equal names get a number."""
    found: list[str] = []
    for source in sources:
        name = PurePosixPath(source.rstrip("/").rpartition("://")[2]).name or "source"
        suffix = next(
            (s for s in (*ARCHIVE_SUFFIXES, *LIST_SUFFIXES) if name.lower().endswith(s) and len(name) > len(s)), ""
        )
        stem = name[: len(name) - len(suffix)].strip(".") or "source"
        numbered = (f"{stem}/" if k == 1 else f"{stem}~{k}/" for k in itertools.count(1))
        found.append(next(folder for folder in numbered if folder.casefold() not in map(str.casefold, found)))
    return found


def _first(table: pa.Table, pictures: int) -> pa.Table:
    """The rows up to the given number of pictures."""
    (places,) = np.nonzero(pc.equal(table["skipped"], "").to_numpy())
    return table.slice(0, places[pictures - 1] + 1) if len(places) > pictures else table


def _with_kinds(table: pa.Table) -> pa.Table:
    """The table with the kinds of files that are known from other files of the listing.

    The stamp of a skipped file is its kind: what an earlier run recorded of it as another kind is corrected.
    """
    if found := kinds_in_listing(table["input"], table["member"]):
        kinds = table["skipped"].to_pylist()
        for index, kind in found.items():
            kinds[index] = kinds[index] or kind
        column = table.schema.get_field_index("skipped")
        table = table.set_column(column, "skipped", pa.chunked_array([kinds], pa.string()))
    stamps = pc.if_else(pc.equal(table["skipped"], ""), table["stamp"], table["skipped"])
    return table.set_column(table.schema.get_field_index("stamp"), "stamp", stamps)


def _batch(part: list[Entry]) -> pa.RecordBatch:
    columns = {name: pa.array([getattr(entry, name) for entry in part], type) for name, type in ENTRY_FIELDS.items()}
    columns["input"] = columns["name"]  # share the memory; often also for the members of a zip
    if columns["member"].equals(columns["name"]):
        columns["member"] = columns["name"]
    columns["stamp"] = pa.array([f"{entry.size}:{entry.etag}" for entry in part], pa.string())
    columns["skipped"] = pa.array([entry.skipped for entry in part], pa.string())
    return pa.record_batch([columns[name] for name in INPUT_SCHEMA.names], INPUT_SCHEMA)


def _unique(table: pa.Table) -> pa.Table:
    """The table with unique input names: of equal names the first picture keeps it, the others get a number."""
    if pc.count_distinct(table["input"]).as_py() == table.num_rows:
        return table
    names, kinds = table["input"].to_pylist(), table["skipped"].to_pylist()
    taken, seen = set(names), set[str]()
    for index in sorted(range(len(names)), key=lambda index: bool(kinds[index])):
        name = names[index]
        if name in seen:
            name = next(other for k in itertools.count(2) if (other := f"{name}#{k}") not in taken)
            taken.add(name)
            names[index] = name
        seen.add(name)
    return table.set_column(0, "input", pa.chunked_array([names], pa.string()))
