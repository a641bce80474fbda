"""Ingest: `scan` lists the files of the sources, `ingest` brings the dataset up to date with them.

Pictures are read, decoded and screened on Ray's workers; here they are compared with each other in the order of the
sources and written as shards, so that the result does not depend on the number of workers or their speed.
`quarantine.csv` lists the files that could not be read, `screened.csv` the pictures that were left out.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from atelier.models.settings import setting, setting_of
from atelier.tasks.dataset import source_lock
from atelier.tasks.dataset.file_index import FileRecord, IngestState, RowWriter, read_state, write_index
from atelier.tasks.dataset.hub_card import write_hub_card
from atelier.tasks.dataset.layouts import SourceConfig
from atelier.tasks.dataset.screening import UNREADABLE, DuplicateIndex, ScreenConfig
from atelier.tasks.dataset.screening_pool import prepare_all
from atelier.tasks.dataset.shards import DOMAIN, SPLITS, Card, split_of, write_card
from atelier.tasks.dataset.source_lock import ScanSummary
from atelier.tasks.runtime.files import csv_bytes, write
from atelier.tasks.runtime.progress import Progress, Report, silent
from atelier.tasks.storage.entry import Entry
from atelier.tasks.workspace.format_versions import INGEST


@dataclass(frozen=True)
class IngestConfig(ScreenConfig):
    """Sources of the dataset, and the form of its pictures."""

    domains: dict[str, tuple[SourceConfig | str, ...]] = setting_of(
        lambda: {"photos": ("sample://photos",), "paintings": ("sample://paintings",)},
        "the sources of each domain: paths, or {path, layout, attributes}",
    )
    holdout_share: float = setting(0.2, "share of the groups that is kept for evaluation", gt=0, lt=1)
    shard_mb: int = setting(64, "size at which a shard is closed, in MB", ge=1, le=1024)

    @property
    def sources(self) -> dict[str, tuple[SourceConfig, ...]]:
        """The sources of each domain, short forms written out.

        Raises:
            ValueError: a domain has no sources, or a name that cannot be part of a file name.
        """
        if not self.domains:
            raise ValueError("no domain has sources: name some under ingest.domains")
        for name, sources in self.domains.items():
            if not DOMAIN.fullmatch(name):
                raise ValueError(f"domain {name!r} must consist of letters, digits, _ and -")
            if not sources:
                raise ValueError(f"domain {name} has no sources: name some under ingest.domains.{name}")
        return {
            name: tuple(SourceConfig(each) if isinstance(each, str) else each for each in sources)
            for name, sources in self.domains.items()
        }

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters that every row depends on: where they change, the dataset is made anew."""
        return {"format": INGEST, **{key: value for key, value in asdict(self).items() if key != "domains"}}


@dataclass(frozen=True)
class IngestSummary:
    """Counts of an ingest. Each file is a row, screened or quarantined."""

    dataset_id: str
    rows: dict[str, dict[str, int]]  # domain: split: pictures
    files: int
    added: int  # rows that are new
    kept: int  # rows of the dataset before
    dropped: int  # rows whose file is gone or has changed
    screened: dict[str, int]  # reason: pictures
    quarantined: int
    skipped: dict[str, int]  # files that are no pictures by their names, by kind; they are not in `files`
    labels: dict[str, int]  # labels that belong to no picture, and pictures without one

    @property
    def notes(self) -> list[str]:
        """What was left out, in a line each."""
        return [f"{count:,} {what}" for what, count in (self.skipped | self.labels).items()]


def scan(config: IngestConfig, base: Path, lock: Path) -> ScanSummary:
    """Write the list of the sources' files to `lock`; an unchanged list leaves the file untouched.

    Raises:
        FileNotFoundError, ValueError: a source is missing, empty or of no supported kind.
    """
    return source_lock.write_lock(config.sources, base, lock)


def ingest(config: IngestConfig, base: Path, lock: Path, out: Path, report: Report = silent) -> IngestSummary:
    """Bring the dataset in `out` up to date with `lock`. Ray must be connected where pictures are to be read.

    Rows of files that have not changed stay in their shards, new rows go to new shards, and shards that hold rows of
    files that are gone are rewritten without them. The card is written last: until then the old dataset is valid.

    Args:
        config: sources and parameters; changed parameters make the dataset anew.
        base: the workspace, which relative sources are relative to.

    Raises:
        FileNotFoundError, ValueError: a source or the lock is missing or does not fit, or a domain would be left
            without training or held-out pictures.
    """
    locked = source_lock.locked_entries(config.sources, base, lock)
    old = read_state(out, config.parameters)
    writer = RowWriter(out, config.shard_mb * 10**6)
    try:
        seen, added = _update(locked.entries, old, config, writer, report)
        rows = {(file.domain, file.id) for file in seen if not file.state}
        kept = old.rows & rows - added
        gone = old.rows - kept
        shards = writer.finish(old.shards, gone)
        card = Card(INGEST, tuple(shards), _facts(config, seen))
        _check_domains(config, card, seen)
        _write_lists(out, seen)
        write_hub_card(out, card)
        index = write_index(out, seen)
        write_card(out, Card(card.format, card.shards, card.facts | {"index": index}))
    except BaseException:
        writer.remove(old.shards)
        raise
    writer.clean(card.shards, index)
    counts = {domain: {split: card.rows(domain, split) for split in SPLITS} for domain in config.domains}
    excluded = card.facts["screened"], card.facts["quarantined"]
    changes = len(seen), len(added), len(kept), len(gone)
    return IngestSummary(card.id, counts, *changes, *excluded, locked.skipped, locked.labels)


def _update(
    found: list[tuple[str, Entry]], old: IngestState, config: IngestConfig, writer: RowWriter, report: Report
) -> tuple[list[FileRecord], set[tuple[str, str]]]:
    """All files in the order of the sources, and the new rows, which go to the writer; unknown files are read."""
    seen: dict[int, FileRecord] = {}
    copies = {domain: DuplicateIndex(config.near_duplicate_bits) for domain in config.domains}
    for position, (domain, entry) in enumerate(found):
        file = old.unchanged(domain, entry)
        if file and not file.state:
            seen[position] = file
            copies[domain].add(file.id, file.hash)
    for position, (domain, entry) in enumerate(found):
        file = old.unchanged(domain, entry)
        # a copy is screened again when its original is gone; an unreadable file may have been repaired
        if file and file.state not in ("", UNREADABLE) and (not file.copy_of or file.copy_of in copies[domain]):
            seen[position] = file
    added = set()
    missing = [position for position in range(len(found)) if position not in seen]
    report(Progress("ingest", len(seen), len(found), "images"))
    for position, prepared in zip(missing, prepare_all([found[p][1] for p in missing], config), strict=True):
        domain, entry = found[position]
        copied, original = "", ""
        if not prepared.state:
            copied, original = copies[domain].copy_of(prepared.id, prepared.hash)
        reason = f"of {original[:12]}" if copied else prepared.reason
        file = FileRecord.of(domain, entry, prepared.state or copied, reason, prepared.id, prepared.hash, original)
        seen[position] = file
        if not file.state:
            copies[domain].add(file.id, file.hash)
            if not old.holds(file):
                writer.add(file, prepared, split_of(file.group, config.holdout_share))
                added.add((domain, file.id))
        report(Progress("ingest", len(seen), len(found), "images"))
    return [seen[position] for position in range(len(found))], added


def _facts(config: IngestConfig, seen: list[FileRecord]) -> dict[str, Any]:
    """Facts of the card beside the shards."""
    states = Counter(file.state for file in seen)
    return {
        "parameters": config.parameters,
        "sources": {domain: [source.path for source in each] for domain, each in config.sources.items()},
        "files": len(seen),
        "rows": states.pop("", 0),
        "quarantined": states.pop(UNREADABLE, 0),
        "screened": dict(sorted(states.items())),
    }


def _check_domains(config: IngestConfig, card: Card, seen: list[FileRecord]) -> None:
    for domain in config.domains:
        states = Counter(file.state or "good" for file in seen if file.domain == domain)
        for split in SPLITS:
            if not card.rows(domain, split):
                found = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no files"
                role = "training" if split == "train" else "held-out"
                do = "add pictures, or change ingest.holdout_share or what screens them"
                raise ValueError(f"domain {domain} has no {role} pictures ({found}): {do}")


def _write_lists(out: Path, seen: list[FileRecord]) -> None:
    """Write the lists of files that are not in the dataset, and why."""
    unreadable = [(f.domain, f.source, f.name, "ingest", f.reason) for f in seen if f.state == UNREADABLE]
    screened = [(f.domain, f.source, f.name, f.state, f.reason) for f in seen if f.state not in ("", UNREADABLE)]
    write(out / "quarantine.csv", csv_bytes(("domain", "source", "path", "stage", "reason"), unreadable))
    write(out / "screened.csv", csv_bytes(("domain", "source", "path", "state", "reason"), screened))
