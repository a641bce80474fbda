"""The paired comparison: candidate and `prod` on the same held-out pictures and canary pictures; Ray must be connected.

Both are measured at the candidate's size by an encoder that had no part in either's loss, and the difference is
resampled pair by pair: chance in the choice of pictures cancels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atelier.models.card import ModelCard
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.dataset.subsets import held_out_pictures
from atelier.tasks.evaluation.canaries import Canary
from atelier.tasks.evaluation.gate import PairedComparison
from atelier.tasks.evaluation.measure_models import Measurement, measure_models, remote
from atelier.tasks.evaluation.metric_catalogue import rounded
from atelier.tasks.evaluation.protocol import EvaluateConfig, MeasuringEncoder, choose_encoder
from atelier.tasks.images.codec import encode
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.runtime import cluster
from atelier.tasks.runtime.progress import Report, silent

CELL_PX = 192


def compare_pair(
    config: EvaluateConfig,
    dataset: Path,
    candidate: Path,
    prod: Path,
    against: str,
    canaries: Sequence[Canary],
    cache: Path,
    report: Report = silent,
) -> PairedComparison | None:
    """Measure both models on the held-out split, from which neither has learned, and on the canaries.

    Returns:
        None where the two do different work (one makes pictures from noise, the other paints): nothing to compare.

    Raises:
        FileNotFoundError: a model, the dataset or an encoder's weights are missing.
        ValueError: a model is damaged, or too little is held out.
    """
    facts, others = ModelCard.read_trained(candidate), ModelCard.read_trained(prod)
    if facts.kind != others.kind:
        return None
    card, models = read_card(dataset), (candidate, prod)
    photos, paintings = (
        held_out_pictures(dataset, card, domain, config.pictures)
        for domain in (facts.content_domain, facts.style_domain)
    )
    encoder = choose_encoder(facts.encoder, others.encoder)
    on = Measurement(config, photos, paintings, facts.size_px, encoder, cache)
    shown = [] if facts.kind == "generates" else list(canaries)
    painted = [
        remote(_paint_canaries).remote([canary.data for canary in shown], facts.size_px, encoder, model.resolve())
        for model in models
    ]
    measured = measure_models(models, on, "compare with prod", report)
    untouched = measured.photos, measured.paintings
    compared = remote(_compare).remote(*measured.stylized, untouched, encoder, on.bootstrap)
    differences, metrics = cluster.get_result(compared)
    names = [canary.name for canary in shown]
    results, rows = cluster.get_result(remote(_compare_canaries).remote(names, *painted, measured.paintings))
    columns = ("before", against, "candidate")
    sheet = encode(contact_sheet(rows, (), columns, CELL_PX), "png") if rows else None
    return PairedComparison(against, differences, results, rounded(metrics), sheet)


def _paint_canaries(data: list[bytes], size_px: int, encoder: MeasuringEncoder, model: Path) -> Any:
    from atelier.tasks.evaluation import paired_worker

    return paired_worker.paint_canaries(data, size_px, encoder, model)


def _compare(candidate: list[Any], prod: list[Any], untouched: tuple[list[Any], list[Any]], *rest: Any) -> Any:
    import ray

    from atelier.tasks.evaluation import paired_worker

    photos, paintings = untouched
    return paired_worker.compare(ray.get(candidate), ray.get(prod), ray.get(photos), ray.get(paintings), *rest)


def _compare_canaries(names: list[str], candidate: Any, prod: Any, paintings: list[Any]) -> Any:
    import ray

    from atelier.tasks.evaluation import paired_worker

    return paired_worker.compare_canaries(names, candidate, prod, ray.get(paintings))
