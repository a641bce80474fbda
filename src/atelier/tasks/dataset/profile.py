"""The profile of a dataset: ids and groups of all its rows, and image statistics of a stable sample.

A profile is kept under the dataset's id, so that a later dataset can be compared with it when the dataset is gone. Rows
in any kept profile are not measured again: a night measures only its arrivals.
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
KEPT = 8  # profiles; refused nights lie between today's dataset and that of `prod`
ENDING = f".{FORMAT}.parquet"
DAMAGED = (OSError, KeyError, ValueError, TypeError, AttributeError)  # Arrow's own are ValueErrors and OSErrors


@dataclass(frozen=True)
class DomainProfile:
    """The rows of a domain, both splits."""

    groups: dict[str, str]  # id: group
    training: int  # rows of the training split
    statistics: dict[str, np.ndarray]  # id: width, height, `COLOURS`, features; of the rows that were measured


@dataclass(frozen=True)
class Profile:
    """What the checks need of a dataset."""

    dataset_id: str
    parameters: dict[str, Any]  # that every row was made with
    domains: dict[str, DomainProfile]


def representatives(groups: dict[str, str], most: int) -> list[str]:
    """Ids of one row of each group, given as id: group, since rows of a group are no independent observations."""
    first: dict[str, str] = {}
    for id in sorted(groups):  # an id is a hash: its order is as good as random, and stable when the dataset grows
        first.setdefault(groups[id], id)
    return list(first.values())[:most]


def arrivals(groups: dict[str, str], before: DomainProfile) -> dict[str, str]:
    """The rows, given and returned as id: group, that were not there before."""
    return {id: group for id, group in groups.items() if id not in before.groups}


def read_profile(dataset_id: str, cache: Path) -> Profile | None:
    """The kept profile of a dataset; None where it is missing or damaged: it can be made again from its dataset."""
    try:
        table = pq.read_table(cache / f"{dataset_id}{ENDING}", partitioning=None)
        facts = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        training = json.loads(facts["training"])
        domains = {name: DomainProfile({}, count, {}) for name, count in training.items()}
        for name, id, group, seen in zip(*(table[column].to_pylist() for column in table.column_names), strict=True):
            domains[name].groups[id] = group or id
            if seen is not None:
                domains[name].statistics[id] = np.array(seen, np.float32)
        return Profile(facts["dataset"], json.loads(facts["parameters"]), domains)
    except DAMAGED:
        return None
