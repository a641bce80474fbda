"""Values that the shell completes: versions, models, parameters, logs. Where something is wrong there are none."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from atelier.tasks.workspace.layout import Workspace


def _completes(values: Callable[[], Iterator[str]]) -> Callable[[str], list[str]]:
    """A function for typer: the values that begin as the word that is being typed."""

    def complete(incomplete: str) -> list[str]:
        try:
            return [value for value in values() if value.startswith(incomplete)]
        except Exception:  # noqa: BLE001 (a shell that completes shows no errors)
            return []

    return complete


@_completes
def complete_version() -> Iterator[str]:
    """Versions of this workspace's models, as `models show` takes them."""
    from atelier.tasks.registry.tags import MODEL, list_models, list_versions

    workspace = Workspace.find()
    yield "prod"
    for model in list_models(workspace):
        for version in list_versions(workspace, model):
            yield version.version if model == MODEL else version.name


@_completes
def complete_model() -> Iterator[str]:
    """Models that `stylize --model` takes: versions of this workspace, and starter models."""
    from atelier.tasks.registry.starter_models import list_starters
    from atelier.tasks.registry.tags import list_models, list_versions

    yield from (one.name for one in list_starters())
    if workspace := Workspace.find_or_none():
        for model in list_models(workspace):
            yield f"{model}@prod"
            yield from (version.name for version in list_versions(workspace, model))


@_completes
def complete_change() -> Iterator[str]:
    """Parameters for --set, each with the equals sign."""
    from atelier.flows.config.defaults import defaults

    for section, config in defaults().items():
        yield from (f"{key}=" for key in _keys(config, section))


def _keys(config: Any, path: str) -> Iterator[str]:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _keys(value, f"{path}.{field.name}")
        else:
            yield f"{path}.{field.name}"


@_completes
def complete_log() -> Iterator[str]:
    """Names of the logs of this workspace."""
    from atelier.flows.runs.logs import list_logs, logs_folder

    yield from (log.stem for log in list_logs(logs_folder(Workspace.find_or_none())))
