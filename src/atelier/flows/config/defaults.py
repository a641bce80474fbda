"""The parameters that a new workspace begins with."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from atelier.flows.config.notify import NotifyConfig
from atelier.flows.config.params import render
from atelier.flows.config.retrain import RetrainConfig
from atelier.tasks.bulk.subscriptions import StylizeSection
from atelier.tasks.dataset.augment_config import AugmentConfig
from atelier.tasks.dataset.checks import ChecksConfig
from atelier.tasks.dataset.ingest import IngestConfig
from atelier.tasks.dataset.layouts import SourceConfig
from atelier.tasks.evaluation.gate import GateConfig
from atelier.tasks.evaluation.protocol import EvaluateConfig
from atelier.tasks.storage.open_source import list_entries, locate
from atelier.tasks.training.config import TrainConfig

DEMO_STEPS = 700  # a little over three minutes on two cores


def demo_params() -> str:
    """params.yaml for the embedded pictures, with few enough training steps to watch."""
    configs = _defaults()
    train = TrainConfig()
    return render(configs | {"train": replace(train, loop=replace(train.loop, steps=DEMO_STEPS))})


def folder_params(content: tuple[str, ...], style: tuple[str, ...], base: Path) -> str:
    """params.yaml for a user's own pictures.

    Args:
        content: sources of the pictures to restyle, relative ones to `base`.
        style: sources of the pictures in the style, likewise.
        base: the folder that relative sources are relative to.

    Raises:
        FileNotFoundError, ValueError: a source is missing or holds no picture.
    """
    train = TrainConfig()
    domains: dict[str, tuple[SourceConfig | str, ...]] = {
        train.content: _found(content, base),
        train.style: _found(style, base),
    }
    return render(_defaults() | {"ingest": replace(IngestConfig(), domains=domains)})


def _defaults() -> dict[str, Any]:
    """Every section as its component has it, in the order of the pipeline."""
    return {
        "ingest": IngestConfig(),
        "checks": ChecksConfig(),
        "augment": AugmentConfig(),
        "train": TrainConfig(),
        "evaluate": EvaluateConfig(),
        "gate": GateConfig(),
        "retrain": RetrainConfig(),
        "stylize": StylizeSection(),
        "notify": NotifyConfig(),
    }


def _found(specs: tuple[str, ...], base: Path) -> tuple[str, ...]:
    """The sources as they are written down: absolute, so that the workspace may lie anywhere."""
    for spec in specs:
        next(iter(list_entries(spec, base)))
    return tuple(spec if "://" in spec else str(locate(spec, base)) for spec in specs)
