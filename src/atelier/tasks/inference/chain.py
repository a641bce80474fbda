"""Chains: models that paint one after another, each what the one before it made.

A job has a chain of one model or more. A control that is given for the whole job goes to the one model that honours it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from atelier.models.card import ModelCard, ModelIdentity
from atelier.models.configs import MethodConfig, config_class
from atelier.models.controls import Controls, check_attributes, check_controls, honoured_controls
from atelier.tasks.inference.config import CONTROLS, ChainStep, ControlsConfig, StylizeConfig, step_values
from atelier.tasks.inference.controls import chain_controls
from atelier.tasks.inference.model_lookup import FoundModel, find_model

ARROW = " → "


@dataclass(frozen=True)
class Step:
    """A model of a chain, and how it paints."""

    model: Path  # the model folder, readable on every node
    identity: ModelIdentity  # see `card.identify`
    config: ControlsConfig


def controls_of(steps: Sequence[Step], base: Path) -> tuple[Controls, ...]:
    """The controls of each step of a job, whose first has the config of the job.

    Raises:
        FileNotFoundError, ValueError: as `chain_controls`, or a method does not support a control, or a model does not
            know an attribute.
    """
    methods = [config_class(step.identity.method) for step in steps]
    job = steps[0].config
    assert isinstance(job, StylizeConfig)
    then = (step.config for step in steps[1:])
    found = chain_controls(job, then, base, (method.fills for method in methods))
    for step, method, controls in zip(steps, methods, found, strict=True):
        check_controls(method, controls)
        if controls.to:
            check_attributes(controls.to, ModelCard.read(step.model).attributes)
    return found


def scale_of(steps: Sequence[Step]) -> int:
    """Height and width of what a chain makes relative to those of its inputs.

    Raises:
        FileNotFoundError, ValueError: a model folder is damaged.
    """
    return math.prod(ModelCard.read(step.model).settings.scale for step in steps)


def parse_step(text: str) -> ChainStep:
    """A step of a chain from MODEL or MODEL,CONTROL=VALUE,….

    Raises:
        ValueError: a control is unknown, or has a wrong value.
    """
    try:
        return TypeAdapter(ChainStep).validate_python(step_values(text))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{text!r}: {first['loc'][-1]}: {first['msg'].removeprefix('Value error, ')}") from error


def find_chain(
    chain: Sequence[ChainStep],
    config: StylizeConfig,
    workspace: Path | None,
    find: Callable[[str, Path | None], FoundModel] = find_model,
) -> tuple[StylizeConfig, tuple[FoundModel, ...], tuple[Step, ...]]:
    """Find the models of a chain, and give each its controls.

    Args:
        chain: at least one step.
        config: of the job; its own controls go to the model that honours them.
        workspace: as `find_model` takes it.
        find: finds a model by its name.

    Returns:
        The config of the job with the controls of the first model, all models, and the further ones as steps.

    Raises:
        FileNotFoundError, ValueError: there is no such model; or not one alone honours a control of the job.
    """
    found = tuple(find(step.model, workspace) for step in chain)
    changed = _changed(config)
    names = [name for name in CONTROLS if name in changed and name != "masks"]  # masks belong to styles
    own = [_changed(step) for step in chain]
    methods = [config_class(one.identity.method) for one in found]
    of = assign_controls(names, [step.model for step in chain], methods, own)
    for name, index in of.items():
        own[index][name] = changed[name]
        if name == "styles" and "masks" in changed:
            own[index]["masks"] = changed["masks"]
    defaults = {name: getattr(ControlsConfig, name) for name in CONTROLS}
    job = replace(config, chain=(), **(defaults | own[0]))
    then = (Step(one.folder, one.identity, ControlsConfig(**given)) for one, given in zip(found, own, strict=True))
    return job, found, tuple(then)[1:]


def assign_controls(
    names: Iterable[str], models: Sequence[str], methods: Sequence[type[MethodConfig]], own: Sequence[Iterable[str]]
) -> dict[str, int]:
    """The step of a chain that each control of the whole chain applies to.

    Args:
        names: of the controls that are given for the chain.
        models: as the user names them, for messages.
        methods: of the models.
        own: names of the controls that are said at each step, which go before the chain's.

    Raises:
        ValueError: none or several of the models honour one of them.
    """
    if len(models) == 1:
        return {name: 0 for name in names if name not in own[0]}  # what it does not honour is refused later
    of: dict[str, int] = {}
    for name in names:
        shown = name.replace("_", "-")
        having = [index for index, method in enumerate(methods) if name in honoured_controls(method)]
        if not having:
            raise ValueError(f"no model of the chain has a control {shown!r}: {ARROW.join(models)}")
        waiting = [index for index in having if name not in own[index]]
        if len(waiting) != 1:
            which = ", ".join(models[index] for index in having)
            do = f"say it at the one that is meant, like --model '{models[having[0]]},{shown}=…'"
            raise ValueError(f"{which} all have the control {shown!r}: {do}" if waiting else _said(shown, which))
        of[name] = waiting[0]
    return of


def _said(control: str, models: str) -> str:
    return f"{control!r} is said at {models} already: leave out the one for the whole chain"


def _changed(config: ControlsConfig) -> dict[str, Any]:
    """The controls that differ from their defaults."""
    return {
        one.name: getattr(config, one.name)
        for one in fields(ControlsConfig)
        if getattr(config, one.name) != getattr(ControlsConfig, one.name)
    }
