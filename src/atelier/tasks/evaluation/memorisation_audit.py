"""The memorisation audit of a model that generates: its pictures beside the training pictures that are nearest to them.

The driver, which needs no torch; Ray must be connected. `models.metrics.memorisation` says what a copy is.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from atelier.tasks.dataset.shards import Card, read_rows, select
from atelier.tasks.dataset.subsets import stable_sample
from atelier.tasks.evaluation.measure_models import Measurement, follow, remote, results
from atelier.tasks.evaluation.metric_catalogue import rounded
from atelier.tasks.evaluation.protocol import (
    EMBEDDER,
    FACES_BY,
    AuditSpec,
    Shown,
    TrainingShard,
    cache_key,
    face_weights,
)
from atelier.tasks.runtime import cluster, encoder_weights
from atelier.tasks.runtime.progress import Report, silent
from atelier.tasks.workspace.format_versions import EVALUATE


def training_split(dataset: Path, card: Card, domain: str, on: Measurement) -> AuditSpec:
    """The training split of a domain; of a large one as many pictures as are to be compared."""
    rows = [
        (shard, read_rows(dataset, replace(card, shards=(shard,)), columns=["id", "group"]).to_pylist())
        for shard in select(card.shards, domain, "train")
    ]
    ids = [row["id"] for _, of_shard in rows for row in of_shard]
    taken = set(stable_sample(ids, on.config.audited_pictures))
    rule, cache, faces = (EVALUATE, EMBEDDER, on.size_px), on.cache.resolve(), face_weights()

    def kept(*decides: Any) -> Path:
        return cache / f"{cache_key(*rule, *decides)}.safetensors"

    shards = []
    for shard, of_shard in rows:
        if pictures := [(row["id"], row["group"]) for row in of_shard if row["id"] in taken]:
            of_ids, groups = zip(*pictures, strict=True)
            shards.append(
                TrainingShard(dataset.resolve() / shard.file, of_ids, groups, kept(of_ids, *[FACES_BY][: bool(faces)]))
            )
    lpips = on.encoder.lpips
    between = kept([shard.kept.name for shard in shards], lpips is not None)
    return AuditSpec(tuple(shards), on.size_px, encoder_weights.resolve(EMBEDDER), lpips, between, faces)


def audit(spec: AuditSpec, model: Path, count: int, report: Report = silent) -> tuple[dict[str, Any], list[Shown]]:
    """Compare the first `count` pictures that a model generates with the training pictures.

    Returns:
        As `memorisation.audit`; nothing where there are less than two training pictures.
    """
    import ray

    total = sum(len(shard.ids) for shard in spec.shards)
    if total < 2:
        return {}, []
    embed = ray.remote(_embed_shard).options(num_cpus=1, num_returns=2)
    embedded = [embed.remote(spec, shard) for shard in range(len(spec.shards))]
    follow(embedded, total, "evaluate", report, "training pictures")
    metrics, pairs = cluster.get_result(remote(_audit).remote(spec, model.resolve(), count, results(embedded)))
    return {"memorisation": rounded(metrics)}, pairs


def _embed_shard(spec: AuditSpec, shard: int) -> tuple[Any, int]:
    from atelier.tasks.evaluation import memorisation

    return memorisation.embed_shard(spec, shard), len(spec.shards[shard].ids)


def _audit(spec: AuditSpec, model: Path, count: int, points: list[Any]) -> tuple[dict[str, Any], list[Shown]]:
    import ray

    from atelier.tasks.evaluation import memorisation

    return memorisation.audit(spec, model, count, ray.get(points))
