"""Whether enough pictures are held out: metrics and gate are computed from these alone."""

import math
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from atelier.tasks.dataset.ingest import IngestConfig
from atelier.tasks.dataset.shards import Card, read_rows
from atelier.tasks.dataset.subsets import MANY_GROUPS
from atelier.tasks.storage.open_source import list_entries


def expected_groups(config: IngestConfig, base: Path) -> dict[str, int]:
    """About how many parents of each domain will be held out; of large sources only the first files are listed."""
    needed = _needed(config.holdout_share)
    found = {}
    for domain, sources in config.sources.items():
        groups: set[str] = set()
        for source in sources:
            entries = islice(list_entries(source.path, base), needed)
            groups.update(entry.group or f"{source.path}/{entry.name}" for entry in entries)
        found[domain] = round(len(groups) * config.holdout_share)
    return found


def held_out_groups(folder: Path, card: Card) -> dict[str, int]:
    """How many parents of each domain are held out in a dataset."""
    rows = {domain: read_rows(folder, card, domain, "holdout", ["group"]) for domain in card.domains}
    return {domain: len(set(of["group"].to_pylist())) for domain, of in rows.items()}


def few_held_out(groups: Mapping[str, int], holdout_share: float) -> str:
    """A note about domains of which too few are held out, "" where there is none."""
    few = [f"{count} of {domain}" for domain, count in groups.items() if count < MANY_GROUPS]
    if not few:
        return ""
    return (
        f"few pictures to measure with: about {' and '.join(few)} are held out. From {MANY_GROUPS} of each the gate "
        f"can tell good models from bad ones: that takes about {_needed(holdout_share)} originals of each, or a larger "
        "ingest.holdout_share"
    )


def _needed(holdout_share: float) -> int:
    """Pictures of which `MANY_GROUPS` are held out."""
    return math.ceil(MANY_GROUPS / holdout_share)
