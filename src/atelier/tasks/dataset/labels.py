"""Labels of pictures, from the `attributes` column of a dataset.

A name is that of an attribute which is true ("Male"), the value of one which is a text or a list of texts ("monet" of
{"class": "monet"}), or the domain of the picture ("photos").
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atelier.tasks.dataset import shards

Labels = NDArray[np.float32]  # (N, A), 0 or 1

_SHOWN = 60  # names in an error
_YES, _NO = ("true", "1", "yes"), ("false", "0", "-1", "no", "")  # texts of an attribute that is true, or is not


def labels_of(attributes: Iterable[str], names: Sequence[str], domain: str) -> Labels:
    """A row of labels for each picture, given by its JSON object of attributes: 1 where the name is true of it."""
    rows = [[name in true for name in names] for true in (_true(text, domain) for text in attributes)]
    return np.array(rows, np.float32).reshape(len(rows), len(names))


def check_labels(folder: Path, card: shards.Card, domains: Iterable[str], names: Sequence[str]) -> None:
    """Check that each name is true of some picture of the domains, before anything starts.

    Raises:
        FileNotFoundError: a shard is missing.
        ValueError: a name is true of no picture; the message lists the names that there are.
    """
    missing, found = set(names), Counter[str]()
    for domain in dict.fromkeys(domains):
        for text in _attributes(folder, card, domain):
            true = _true(text, domain)
            missing -= true
            found.update(true)
            if not missing and names:
                return
    common = [name for name, _ in found.most_common(_SHOWN)]
    there = ", ".join(sorted(common)) + (", …" if len(found) > _SHOWN else "")
    if not names:
        raise ValueError(f"no attributes are named that the model shall learn: choose from {there}")
    raise ValueError(f"no picture has the attribute {sorted(missing)[0]!r}: there are {there}")


def _attributes(folder: Path, card: shards.Card, domain: str) -> Iterator[str]:
    """The attributes of all pictures of a domain, shard by shard."""
    for shard in shards.select(card.shards, domain):
        one = shards.Card(card.format, (shard,))
        yield from shards.read_rows(folder, one, columns=["attributes"])["attributes"].to_pylist()


def _true(text: str, domain: str) -> set[str]:
    """All names that are true of a picture."""
    found = {domain}
    for name, value in json.loads(text).items():
        if isinstance(value, list):
            found.update(str(one) for one in value)
        elif isinstance(value, str):
            if value.lower() in _YES:
                found.add(name)
            elif value.lower() not in _NO:
                found.add(value)
        elif value == 1:  # True too
            found.add(name)
    return found
