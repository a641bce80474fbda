"""Comparison of a candidate model with its `prod` (champion and challenger), before the gate."""

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
    """Compare a trained model with its `prod` on the same pictures; Ray must be connected.

    Args:
        workspace: with the registry.
        made: where the candidate was trained: the workspace, or the worktree of its night.
        config: how to measure.
        gate: names the canary pictures.
        cache: folder for features of untouched pictures.
        model: artifact name.
        report: receives the number of measured models.

    Returns:
        None without a `prod`, if `prod` does another task, or if the candidate is registered already.

    Raises:
        FileNotFoundError, ValueError: a model, the dataset or a canary picture is missing or damaged.
        RuntimeError: the bytes of `prod` are missing.
    """
    prod = find_prod(list_versions(workspace, model))
    if prod is None or find_registered(workspace, made, model):
        return None
    candidate = made.model_folder(model)
    shown = canaries(gate.canary, workspace.root, made.dataset, ModelCard.read_trained(candidate).content_domain)
    folder = resolve(workspace, f"{model}@{prod.version}").path
    return compare_pair(config, made.dataset, candidate, folder, prod.version, shown, cache, report)
