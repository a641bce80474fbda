"""Canary pictures: a few that every version of a model paints, and that must not become worse."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from atelier.tasks.dataset.shards import read_card
from atelier.tasks.dataset.subsets import held_out_pictures, spread
from atelier.tasks.storage.open_source import list_entries, read

SHOWN = 8  # held-out pictures where `gate.canary` names none
MOST = 64  # people look at canaries


@dataclass(frozen=True)
class Canary:
    """One picture."""

    name: str  # the path of its file in the source
    data: bytes  # the encoded picture


def canaries(sources: Sequence[str], base: Path, dataset: Path, content: str) -> list[Canary]:
    """The canary pictures of a workspace.

    Args:
        sources: what `gate.canary` names; empty takes some held-out pictures, which change only where the dataset does.

    Raises:
        FileNotFoundError, ValueError: a source is missing, or holds no picture or one that cannot be read.
    """
    if not sources:
        pictures = spread(held_out_pictures(dataset, read_card(dataset), content, 1000), SHOWN)
        return [Canary(picture.name, picture.data) for picture in pictures]
    entries = islice(chain.from_iterable(list_entries(source, base) for source in sources), MOST)
    found = []
    for entry in entries:
        if entry.problem:
            raise ValueError(f"canary picture {entry.name} of {entry.source} cannot be read: {entry.problem}")
        found.append(Canary(entry.name, read(entry)))
    return found
