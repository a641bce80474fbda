"""Profiling: image statistics of a sample of a dataset, measured on the cluster and kept from night to night."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atelier.models.files import replacing
from atelier.tasks.dataset.profile import (
    DAMAGED,
    ENCODER,
    ENDING,
    KEPT,
    DomainProfile,
    Profile,
    arrivals,
    representatives,
)
from atelier.tasks.dataset.shards import Card, read_card, read_pictures, read_rows
from atelier.tasks.images.codec import decode
from atelier.tasks.runtime import cluster, encoder_weights
from atelier.tasks.runtime.progress import Progress, Report, silent

_BATCH = 64  # pictures in one task of a worker


def profile_dataset(
    dataset: Path, cache: Path, sample: int, before: Profile | None = None, report: Report = silent
) -> Profile:
    """Profile a dataset: statistics of a sample of its rows, and of a sample of those that have arrived since `before`.

    Ray must be connected where there are pictures that no kept profile has measured.

    Args:
        cache: folder that keeps profiles; old ones are removed.
        sample: rows of each domain that are measured, at most, and as many arrivals.

    Raises:
        FileNotFoundError, ValueError: there is no dataset, or its card is damaged.
    """
    card = read_card(dataset)
    parameters = card.facts.get("parameters", {})
    rows, places, training = _rows(dataset, card)
    kept = _kept_statistics(cache, parameters)
    wanted: dict[str, list[str]] = {}
    for name, groups in rows.items():
        wanted[name] = representatives(groups, sample)
        if before is not None and name in before.domains:
            wanted[name] += representatives(arrivals(groups, before.domains[name]), sample)
    statistics = {id: kept[id] for ids in wanted.values() for id in ids if id in kept}
    missing = list(dict.fromkeys(id for ids in wanted.values() for id in ids if id not in statistics))
    statistics |= _measure(dataset, {id: places[id] for id in missing}, report)
    domains = {
        name: DomainProfile(groups, training[name], {id: statistics[id] for id in wanted[name]})
        for name, groups in rows.items()
    }
    result = Profile(card.id, parameters, domains)
    _keep(result, cache, before)
    return result


def _rows(dataset: Path, card: Card) -> tuple[dict[str, dict[str, str]], dict[str, str], dict[str, int]]:
    """The group of each row by domain and id, the shard that each row is in, and the training rows of each domain."""
    rows: dict[str, dict[str, str]] = {name: {} for name in card.domains}
    places: dict[str, str] = {}
    for shard in card.shards:
        table = read_rows(dataset, Card(card.format, (shard,)), columns=["id", "group"])
        ids = table["id"].to_pylist()
        rows[shard.domain] |= dict(zip(ids, table["group"].to_pylist(), strict=True))
        places |= dict.fromkeys(ids, shard.file)
    return rows, places, {name: card.rows(name, "train") for name in rows}


def _measure(dataset: Path, places: dict[str, str], report: Report) -> dict[str, np.ndarray]:
    """Measure rows, given as id: shard, on the cluster's workers."""
    if not places:
        return {}
    import ray

    measure, weights, tasks = ray.remote(_measure_shard).options(num_cpus=1), encoder_weights.resolve(ENCODER), []
    for shard in sorted(set(places.values())):
        ids = [id for id, place in places.items() if place == shard]
        tasks += [
            measure.remote((dataset / shard).resolve(), ids[first : first + _BATCH], weights)
            for first in range(0, len(ids), _BATCH)
        ]
    statistics: dict[str, np.ndarray] = {}
    report(Progress("check", 0, len(places), "images"))
    for found in cluster.finished(tasks):
        statistics |= found
        report(Progress("check", len(statistics), len(places), "images", images=len(statistics)))
    return statistics


def _measure_shard(shard: Path, ids: list[str], weights: Path) -> dict[str, np.ndarray]:
    from atelier.tasks.dataset.image_statistics import measure_pictures

    pictures = read_pictures(shard, ids)
    statistics = measure_pictures([decode(picture) for picture in pictures.values()], weights)
    return dict(zip(pictures, statistics, strict=True))


def _kept_statistics(cache: Path, parameters: dict[str, Any]) -> dict[str, np.ndarray]:
    """Statistics in kept profiles, of pictures that were prepared with the same parameters."""
    kept: dict[str, np.ndarray] = {}
    for file in cache.glob(f"*{ENDING}"):
        with suppress(*DAMAGED):
            table = pq.read_table(file, columns=["id", "look"], partitioning=None)
            if json.loads(table.schema.metadata[b"parameters"]) == parameters:
                seen = table.filter(pc.is_valid(table["look"]))
                kept |= {row["id"]: np.array(row["look"], np.float32) for row in seen.to_pylist()}
    return kept


def _keep(profile: Profile, cache: Path, before: Profile | None) -> None:
    """Write a profile, complete or not at all, and remove the oldest."""
    names, groups, ids, statistics = [], [], [], []
    for name, domain in profile.domains.items():
        for id, group in domain.groups.items():
            names.append(name)
            ids.append(id)
            groups.append(None if group == id else group)  # most are alone, and ids are most of the file
            seen = domain.statistics.get(id)
            statistics.append(None if seen is None else seen.tolist())
    columns = {"domain": names, "id": ids, "group": groups, "look": pa.array(statistics, pa.list_(pa.float32()))}
    training = {name: domain.training for name, domain in profile.domains.items()}
    facts = {"dataset": profile.dataset_id, "parameters": json.dumps(profile.parameters)}
    table = pa.table(columns).replace_schema_metadata(facts | {"training": json.dumps(training)})
    cache.mkdir(parents=True, exist_ok=True)
    file = cache / f"{profile.dataset_id}{ENDING}"
    with replacing(file) as temporary:
        pq.write_table(table, temporary, compression="zstd", use_dictionary=["domain"])
    needed = {f"{one.dataset_id}{ENDING}" for one in (profile, before) if one is not None}
    others = [path for path in cache.glob(f"*{ENDING}") if path.name not in needed]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[KEPT - len(needed) :]:
        path.unlink(missing_ok=True)
