"""What is known of a dataset: all its rows by name, and what a stable sample of them looks like.

A profile is kept by the dataset's id, so that a dataset that was trained on can be compared with after it is gone. Rows
that any kept profile has looked at are not looked at again: what a night costs is its arrivals.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

FORMAT = 1
ENCODER = "efficientnet_lite0"  # embedded, so that every machine has it
COLOURS = ("red", "green", "blue", "brightness", "contrast")  # means, and the deviation of luminance, in 8-bit levels
KEPT = 8  # profiles: nights that were refused lie between today's dataset and that of `prod`
ENDING = f".{FORMAT}.parquet"
DAMAGED = (OSError, KeyError, ValueError, TypeError, AttributeError)  # Arrow's own are ValueErrors and OSErrors


@dataclass(frozen=True)
class Domain:
    """The rows of a domain, both splits."""

    groups: dict[str, str]  # id: group
    training: int  # rows of the training split
    looks: dict[str, np.ndarray]  # id: width, height, `COLOURS`, features; of the rows that were looked at


@dataclass(frozen=True)
class Profile:
    """A dataset, as the checks know it."""

    dataset_id: str
    parameters: dict[str, Any]  # what every row was made with
    domains: dict[str, Domain]


def representatives(groups: dict[str, str], most: int) -> list[str]:
    """Ids of one row a group, as good as random and stable when the dataset grows: rows of a group are no
    independent observations.

    Args:
        groups: id: group.
        most: how many at most.
    """
    first: dict[str, str] = {}
    for id in sorted(groups):  # an id is a hash: its order is as good as random, and independent of the split
        first.setdefault(groups[id], id)
    return list(first.values())[:most]


def arrivals(groups: dict[str, str], before: Domain) -> dict[str, str]:
    """The rows, given and returned as id: group, that were not there before."""
    return {id: group for id, group in groups.items() if id not in before.groups}


def cached(dataset_id: str, cache: Path) -> Profile | None:
    """The profile of a dataset that was looked at earlier; None where none is kept.

    Args:
        dataset_id: of the card.
        cache: the folder that `profile` keeps them in.
    """
    return _read(cache / f"{dataset_id}{ENDING}")


def _read(file: Path) -> Profile | None:
    """A kept profile; None where it is missing or damaged: it can be made again while its dataset is there."""
    try:
        table = pq.read_table(file, partitioning=None)
        facts = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        training = json.loads(facts["training"])
        domains = {name: Domain({}, count, {}) for name, count in training.items()}
        for name, id, group, seen in zip(*(table[column].to_pylist() for column in table.column_names), strict=True):
            domains[name].groups[id] = group or id
            if seen is not None:
                domains[name].looks[id] = np.array(seen, np.float32)
        return Profile(facts["dataset"], json.loads(facts["parameters"]), domains)
    except DAMAGED:
        return None
