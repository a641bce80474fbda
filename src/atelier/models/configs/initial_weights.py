"""Which models a training can start from: those whose generator has the architecture of its own."""

import json
from dataclasses import asdict, fields, replace
from typing import TypeVar

from atelier.models.configs.architecture import Architecture
from atelier.models.configs.base import MethodConfig
from atelier.models.settings import from_json

C = TypeVar("C", bound=MethodConfig)


def fits(base: MethodConfig, config: MethodConfig) -> bool:
    """Whether a training with these settings can start from a model of the settings `base`."""
    if base.architecture is None or config.architecture is None:
        return base.name == config.name  # shapes are compared when the weights are read
    return base.architecture == config.architecture


def adapted(config: C, base: MethodConfig) -> C | None:
    """The settings with the architecture of a base; None if the method has no such generator."""
    if fits(base, config):
        return config
    if base.architecture is None or config.architecture is None:
        return None
    changes = _needed(config.architecture, base.architecture)
    if not changes.keys() <= {field.name for field in fields(config)}:
        return None
    try:
        changed = from_json(type(config), json.loads(json.dumps(asdict(replace(config, **changes)))))
    except ValueError:  # not a choice of this method
        return None
    return changed if fits(base, changed) else None


def _needed(given: Architecture, wanted: Architecture) -> dict[str, str | int]:
    """The choices of an architecture that differ from those given, by name."""
    known = asdict(given)
    return {name: value for name, value in asdict(wanted).items() if value != known[name]}
