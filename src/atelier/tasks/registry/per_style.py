"""One model per style: training, evaluation and release. Every domain except the content's is a style.

All models are trained with the same parameters; only the style differs. The styles are independent of each other. A
model whose card equals what would be trained is not trained again.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from atelier.models.card import WEIGHTS, ModelCard
from atelier.tasks.dataset.shards import Card, read_card
from atelier.tasks.evaluation import evaluate
from atelier.tasks.evaluation.gate import GateConfig
from atelier.tasks.evaluation.protocol import EvaluateConfig
from atelier.tasks.registry.prod_comparison import compare_with_prod
from atelier.tasks.registry.release import ReleaseResult, release_model
from atelier.tasks.registry.tags import style_model_name
from atelier.tasks.runtime import progress
from atelier.tasks.runtime.progress import Progress
from atelier.tasks.training import train
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.training.train import facts_of
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.pipeline import track_folder


def list_styles(card: Card, config: TrainConfig) -> list[str]:
    """The styles of a training set.

    Raises:
        ValueError: there is no style, the content domain is missing, or a style's name does not fit into a tag name.
    """
    if config.content not in card.domains:
        raise ValueError(f"domain {config.content!r} is not in the training set: it has {', '.join(card.domains)}")
    styles = [domain for domain in card.domains if domain != config.content]
    if not styles:
        raise ValueError(
            f"the training set has no domain but train.content, {config.content!r}: add a style's pictures"
        )
    for style in styles:
        style_model_name(style)
    return styles


def train_style(workspace: Workspace, config: TrainConfig, style: str, initial: Path | None) -> bool:
    """Train the model of a style in this process.

    Args:
        workspace: on a path that this node can read.
        config: of all styles; its `style` is replaced.
        style: domain of the style.
        initial: folder of the model that `config.start_from` names.

    Returns:
        Whether it was trained; False if the model was up to date.

    Raises:
        As `training.train` does.
    """
    config = replace(config, style=style, workers=0)
    model = style_model_name(style)
    out, run = workspace.model_folder(model), workspace.style_runs / style
    facts = facts_of(config, read_card(workspace.augmented), initial)
    if _trained_with(out).items() >= facts.items():
        return False
    train.train(
        config,
        workspace.augmented,
        out,
        run / "checkpoints",
        workspace.style_reports(model) / "training",
        progress.to_file(run),
        initial=initial,
    )
    return True


def evaluate_style(workspace: Workspace, config: EvaluateConfig, style: str) -> None:
    """Measure the model of a style on the held-out pictures; Ray must be connected.

    Raises:
        As `evaluation.evaluate` does.
    """
    model = style_model_name(style)
    reports, run = workspace.style_reports(model), workspace.style_runs / style
    evaluate.evaluate(
        config,
        workspace.dataset,
        workspace.model_folder(model),
        reports / "evaluation.json",
        reports / "evaluation",
        run / "features",
        progress.to_file(run),
    )


def release_style(workspace: Workspace, config: EvaluateConfig, gate: GateConfig, style: str) -> ReleaseResult:
    """Track the model of a style with DVC, compare it with its `prod` and release it; Ray must be connected."""
    model = style_model_name(style)
    track_folder(workspace, workspace.model_folder(model))
    prod = compare_with_prod(workspace, workspace, config, gate, workspace.style_runs / style / "features", model)
    return release_model(workspace, gate, prod, model)


def read_progress(workspace: Workspace, style: str) -> Progress | None:
    """The last progress of a style's worker, or None."""
    return progress.read_file(workspace.style_runs / style)


def clear_progress(workspace: Workspace, style: str) -> None:
    """Remove the progress of an earlier run."""
    progress.clear_file(workspace.style_runs / style)


def _trained_with(model: Path) -> Mapping[str, Any]:
    """The training facts of the model in a folder; empty without a whole model."""
    try:
        card = ModelCard.read(model)
    except (OSError, ValueError):
        return {}
    return card.training if (model / WEIGHTS).is_file() else {}
