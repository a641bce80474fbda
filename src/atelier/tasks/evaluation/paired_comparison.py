"""The contest: candidate and `prod` on the same held-out pictures, and on the canaries; Ray must be connected.

Both are measured at the candidate's size by an encoder that had no part in either's loss, and the difference is drawn
pair by pair: what both owe to the accident of the pictures cancels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atelier.models.card import ModelCard
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.dataset.subsets import Picture, batches, files, held_out
from atelier.tasks.evaluation.canaries import Canary
from atelier.tasks.evaluation.evaluate import rounded
from atelier.tasks.evaluation.gate import CanaryResult, PairedComparison
from atelier.tasks.evaluation.protocol import EvaluateConfig, MeasuringEncoder, cache_name, choose_encoder
from atelier.tasks.images.codec import encode
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.runtime import cluster
from atelier.tasks.runtime.progress import Progress, Report, silent

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
    """Measure both models.

    Args:
        config: how to measure.
        dataset: the dataset folder; of its held-out split neither model has learned.
        candidate: a model folder.
        prod: a model folder.
        against: the name of prod's version.
        canaries: further pictures that both are shown on.
        cache: folder that keeps the features of untouched pictures.
        report: told of finished models.

    Returns:
        None where the two do different work (one makes pictures from noise, the other paints): nothing to compare.

    Raises:
        FileNotFoundError: a model, the dataset or an encoder's weights are missing.
        ValueError: a model is damaged, or too little is held out.
    """
    import ray

    facts, others = ModelCard.read_trained(candidate), ModelCard.read_trained(prod)
    if facts.kind != others.kind:
        return None
    card = read_card(dataset)
    photos = held_out(dataset, card, facts.content_domain, config.pictures)
    paintings = held_out(dataset, card, facts.style_domain, config.pictures)
    encoder = choose_encoder(facts.encoder, others.encoder)
    shown = [] if facts.kind == "generates" else list(canaries)
    stylize, contrast = (ray.remote(task).options(num_cpus=1) for task in (_stylized, _contrasted))
    work = [
        stylize.remote(
            [files(batch) for batch in batches(photos, config.batch)],
            facts.size_px,
            model.resolve(),
            encoder,
            [canary.data for canary in shown],
        )
        for model in (candidate, prod)
    ]
    report(Progress("compare_pair", 0, len(work), "models"))
    for done, _ in enumerate(cluster.finished(work), 1):
        report(Progress("compare_pair", done, len(work), "models"))
    kept = tuple(
        [
            (files(batch), cache.resolve() / cache_name(batch, facts.size_px, encoder))
            for batch in batches(part, config.batch)
        ]
        for part in (photos, paintings)
    )
    found = cluster.get_result(
        contrast.remote(work, kept, facts.size_px, _groups(photos), _groups(paintings), encoder, config)
    )
    results = tuple(CanaryResult(one.name, *values) for one, values in zip(shown, found.canaries, strict=True))
    columns = ("before", against, "candidate")
    sheet = encode(contact_sheet(found.pictures, (), columns, CELL_PX), "png") if found.pictures else None
    return PairedComparison(against, found.differences, results, rounded(found.metrics), sheet)


def _groups(pictures: list[Picture]) -> list[str]:
    return [picture.group for picture in pictures]


def _stylized(data: list[list[bytes]], size: int, model: Path, encoder: MeasuringEncoder, canaries: list[bytes]) -> Any:

    from atelier.tasks.evaluation import paired_worker

    return paired_worker.stylize(data, size, model, encoder, canaries)


def _contrasted(work: list[Any], *rest: Any) -> Any:
    import ray

    from atelier.tasks.evaluation import paired_worker

    return paired_worker.contrast(*ray.get(work), *rest)
