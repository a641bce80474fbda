"""The challenge: whether a model that was trained must be held against its `prod`, and what comes of it."""

from pathlib import Path

from atelier.models.card import ModelCard
from atelier.tasks.evaluation.canaries import canaries
from atelier.tasks.evaluation.gate import GateConfig, PairedComparison
from atelier.tasks.evaluation.paired_comparison import compare_pair
from atelier.tasks.evaluation.protocol import EvaluateConfig
from atelier.tasks.registry.release import find_registered
from atelier.tasks.registry.resolve import resolve
from atelier.tasks.registry.tags import MODEL, find_prod, list_versions
from atelier.tasks.runtime.progress import Report, silent
from atelier.tasks.workspace.layout import Workspace


def compare_with_prod(
    workspace: Workspace,
    made: Workspace,
    config: EvaluateConfig,
    gate: GateConfig,
    cache: Path,
    model: str = MODEL,
    report: Report = silent,
) -> PairedComparison | None:
    """Hold a model that was trained against its `prod`; Ray must be connected.

    Args:
        workspace: whose registry knows `prod`.
        made: where the model was trained: the workspace or its night.
        config: how to measure.
        gate: names the canary pictures.
        cache: folder that keeps the features of untouched pictures.
        model: its name.
        report: told of finished models.

    Returns:
        None where there is no `prod`, where it does other work, or where the bytes were judged before.

    Raises:
        FileNotFoundError, ValueError: a model, the dataset or a canary picture is missing or damaged.
        RuntimeError: the bytes of `prod` cannot be had.
    """
    prod = find_prod(list_versions(workspace, model))
    if prod is None or find_registered(workspace, made, model):
        return None
    candidate = made.model_folder(model)
    shown = canaries(gate.canary, workspace.root, made.dataset, ModelCard.read_trained(candidate).content_domain)
    folder = resolve(workspace, f"{model}@{prod.version}").path
    return compare_pair(config, made.dataset, candidate, folder, prod.version, shown, cache, report)
