"""`sources.lock`: which files the sources hold, as the pipeline's ingest stage depends on them.

Archives, lists' targets and label files count as files; the members of an archive do not. Unchanged sources give an
unchanged lock, byte for byte.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from atelier.tasks.dataset.layouts import SourceConfig, list_source
from atelier.tasks.runtime.files import write
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.location import file_stat
from atelier.tasks.storage.open_source import source_class

LOCK_FORMAT = 1
Sources = Mapping[str, Sequence[SourceConfig]]  # of each domain


@dataclass(frozen=True)
class ScanSummary:
    """Counts of a scan."""

    domains: dict[str, int]  # pictures of each
    files: int
    bytes: int  # of the pictures, where the source says
    changed: bool  # whether the lock was written anew
    skipped: dict[str, int]  # files that are no pictures by their names, by kind
    labels: dict[str, int]  # labels that belong to no picture, and pictures without one


@dataclass(frozen=True)
class LockedFiles:
    """What the lock names, and what lies beside it."""

    entries: list[tuple[str, Entry]]  # pictures with their domain, in the order of the sources
    skipped: dict[str, int]  # as in `ScanSummary`
    labels: dict[str, int]


def write_lock(sources: Sources, base: Path, lock: Path) -> ScanSummary:
    """Write the list of the sources' files; an unchanged list leaves the lock untouched.

    Raises:
        FileNotFoundError, ValueError: a source is missing, empty or of no supported kind.
    """
    domains: dict[str, list[dict[str, object]]] = {}
    counts: dict[str, int] = {}
    skipped, labels = Counter[str](), Counter[str]()
    files = size = 0
    for domain, configs in sources.items():
        listed: list[dict[str, object]] = []
        for config in configs:
            listing = list_source(config, base)
            found, beside = _stamps(listing.entries), _stamps(listing.label_files)
            listed.append({"source": config.path, "files": found, "beside": beside})
            files += len(found) + len(beside)
            skipped.update(listing.skipped)
            labels.update(listing.labels)
            counts[domain] = counts.get(domain, 0) + len(listing.entries)
            size += sum(entry.size for entry in listing.entries if entry.record < 0)
        domains[domain] = listed
    text = json.dumps({"format": LOCK_FORMAT, "domains": domains}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    changed = not lock.is_file() or lock.read_bytes() != text.encode()
    if changed:
        write(lock, text.encode())
    return ScanSummary(counts, files, size, changed, dict(skipped), dict(labels))


def locked_entries(sources: Sources, base: Path, lock: Path) -> LockedFiles:
    """The pictures that the lock names.

    Files that arrived after the scan are left for the next one; those that changed after it have a problem.

    Raises:
        FileNotFoundError, ValueError: a source or the lock is missing, or the lock does not fit the parameters.
    """
    if not lock.is_file():
        raise FileNotFoundError(f"{lock} is missing: run `atelier ingest --scan`")
    try:
        domains = json.loads(lock.read_text(encoding="utf-8"))["domains"]
        locked = {(domain, each["source"]): each for domain, found in domains.items() for each in found}
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{lock} is damaged ({error!r}): run `atelier ingest --scan`") from error
    entries = []
    skipped, labels = Counter[str](), Counter[str]()
    for domain, configs in sources.items():
        for config in configs:
            if (domain, config.path) not in locked:
                raise ValueError(f"{lock} does not know source {config.path} of {domain}: run `atelier ingest --scan`")
            files = locked[domain, config.path]["files"]
            stat = cache(file_stat)  # once for each archive
            listing = list_source(config, base)
            skipped.update(listing.skipped)
            labels.update(listing.labels)
            for entry in listing.entries:
                name, stamp = source_class(entry).stamp(entry, stat)
                if name not in files:
                    continue
                if files[name] != stamp:
                    entry = replace(entry, problem="changed after the scan: run `atelier ingest --scan`")
                entries.append((domain, entry))
    return LockedFiles(entries, dict(skipped), dict(labels))


def _stamps(entries: Iterable[Entry]) -> dict[str, str]:
    """Stamps of the files that hold the entries, by the files' names."""
    stat = cache(file_stat)  # once for each archive
    return dict(source_class(entry).stamp(entry, stat) for entry in entries)
