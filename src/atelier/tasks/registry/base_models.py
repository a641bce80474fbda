"""Base models: the starter models that a training can start from, which the architecture of its generator decides."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from atelier.models.card import WEIGHTS, ModelCard
from atelier.models.configs.base import MethodConfig
from atelier.models.configs.initial_weights import adapted, fits
from atelier.tasks.registry.starter_models import find_starter, list_starters
from atelier.tasks.training.config import TrainConfig


@dataclass(frozen=True)
class BaseModel:
    """A starter model, and the settings with which a method's generator has its architecture."""

    name: str  # "starter/NAME"
    config: MethodConfig
    changes: dict[str, Any]  # the settings that are not as they were, by name

    @property
    def label(self) -> str:
        """In words: `starter/monet with filters 16, blocks 4`."""
        changes = ", ".join(f"{name} {value}" for name, value in self.changes.items())
        return f"{self.name} with {changes}" if changes else self.name


def list_bases(config: MethodConfig) -> list[BaseModel]:
    """The starter models that a method can start from.

    Those that need the fewest changes of its settings come first, and of these the smallest.
    """
    found = []
    for starter in sorted(list_starters(), key=lambda one: (one.folder / WEIGHTS).stat().st_size):
        if changed := adapted(config, ModelCard.read(starter.folder).settings):
            values = {field.name: getattr(changed, field.name) for field in fields(changed)}
            changes = {name: value for name, value in values.items() if value != getattr(config, name)}
            found.append(BaseModel(starter.name, changed, changes))
    return sorted(found, key=lambda base: len(base.changes))


def with_base(config: TrainConfig, name: str = "") -> TrainConfig:
    """The settings that start from a base of this name, by default the first; from scratch where there is none."""
    bases = [base for base in list_bases(config.method_config) if name in ("", base.name)]
    if not bases:
        return config
    changes: dict[str, Any] = {"start_from": bases[0].name, config.method: bases[0].config}
    return replace(config, **changes)


def check_starter(config: TrainConfig) -> None:
    """Check that there is the starter model that training starts from, and that it fits. Raises ValueError."""
    if folder := find_starter(config.start_from):
        check_fit(config, folder)


def check_fit(config: TrainConfig, folder: Path) -> None:
    """Check that training can start from the model in a folder, which `config.start_from` names.

    Raises:
        ValueError: its generator has another architecture; says which bases fit, with which settings.
    """
    base = ModelCard.read(folder).settings
    if fits(base, config.method_config):
        return
    bases = "; ".join(known.label for known in list_bases(config.method_config)) or "no starter model"
    raise ValueError(
        f"train.start_from: the network of {config.start_from}, a {base.name} model, is not the one that "
        f"train.{config.method} describes. What fits {config.method}: {bases}; scratch"
    )
