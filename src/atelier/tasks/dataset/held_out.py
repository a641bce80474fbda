"""Whether enough pictures are held out: metrics and gate are computed from these alone."""

import math
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from atelier.tasks.dataset.ingest import IngestConfig
from atelier.tasks.dataset.shards import read_card, read_rows
from atelier.tasks.dataset.subsets import MANY_GROUPS
from atelier.tasks.storage.open_source import list_entries


def few_expected(config: IngestConfig, base: Path) -> list[str]:
    """A note where too few pictures will be held out; of large sources only the first files are listed."""
    needed = _needed(config.holdout_share)
    found = {}
    for domain, sources in config.sources.items():
        groups: set[str] = set()
        for source in sources:
            entries = islice(list_entries(source.path, base), needed)
            groups.update(entry.group or f"{source.path}/{entry.name}" for entry in entries)
        found[domain] = round(len(groups) * config.holdout_share)
    return _notes(found, config.holdout_share)


def few_held_out(folder: Path, config: IngestConfig) -> list[str]:
    """A note where too few pictures of a dataset are held out."""
    card = read_card(folder)
    rows = {domain: read_rows(folder, card, domain, "holdout", ["group"]) for domain in card.domains}
    groups = {domain: len(set(of["group"].to_pylist())) for domain, of in rows.items()}
    return _notes(groups, config.holdout_share)


def _notes(groups: Mapping[str, int], holdout_share: float) -> list[str]:
    few = [f"{count} of {domain}" for domain, count in groups.items() if count < MANY_GROUPS]
    if not few:
        return []
    counts, needed = " and ".join(few), _needed(holdout_share)
    return [
        f"note: few pictures to measure with: about {counts} are held out. From {MANY_GROUPS} of each, out of {needed} "
        "originals or with a larger ingest.holdout_share, the gate can tell good models from bad ones"
    ]


def _needed(holdout_share: float) -> int:
    """Pictures of which `MANY_GROUPS` are held out."""
    return math.ceil(MANY_GROUPS / holdout_share)
