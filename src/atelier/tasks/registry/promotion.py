"""Promotion and rollback: which version is `prod`."""

from collections.abc import Sequence

from atelier.tasks.registry.resolve import find_version, resolve
from atelier.tasks.registry.tags import (
    MODEL,
    PROD,
    REGISTRY_WAIT_S,
    StageAssignment,
    Version,
    assign_stage,
    get_version,
    list_versions,
    stage_history,
    was_assigned,
)
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock


def list_awaiting_approval(workspace: Workspace, model: str = MODEL) -> list[Version]:
    """Versions that passed and were never promoted, the newest first: a person may approve them."""
    versions = list_versions(workspace, model)
    return [v for v in versions if v.passed and v.stage is None and not was_assigned(workspace, v)]


def promote(workspace: Workspace, version: str, stage: str = PROD, *, reason: str, model: str = MODEL) -> None:
    """Make a registered version the one of a stage, in one step: a tag. An older version is a rollback.

    Raises:
        ValueError: there is no such version.
    """
    with lock(workspace, "registry", REGISTRY_WAIT_S):
        get_version(list_versions(workspace, model), model, version)
        assign_stage(workspace, model, version, stage, reason)


def rollback(workspace: Workspace, reason: str, model: str = MODEL, to: str | None = None) -> str:
    """Make the version `prod` that was it before, or an earlier one.

    Args:
        workspace: where.
        reason: why; kept in the registry.
        model: whose.
        to: a version that was `prod` once; None means the one before.

    Returns:
        The version that is `prod` now.

    Raises:
        ValueError: none was before, or `to` never was or is `prod` now.
        RuntimeError: its bytes are nowhere: nothing has changed.
    """
    with lock(workspace, "registry", REGISTRY_WAIT_S):
        now = find_version(workspace, f"{model}@{PROD}").version
        standing = rollback_targets(stage_history(workspace, model))
        if to is None and not standing:
            raise ValueError(f"no version of {model} was prod before {now}: there is nothing to go back to")
        wanted = to or standing[-1]
        if wanted == now:
            raise ValueError(f"{model}@{now} is prod already: name another version")
        name = find_version(workspace, f"{model}@{wanted}").name
        if wanted not in {staging.version for staging in stage_history(workspace, model)}:
            raise ValueError(f"{name} never was prod: make it prod with `atelier models promote {name} --reason …`")
        resolve(workspace, name)
        assign_stage(workspace, model, wanted, PROD, reason)
    return wanted


def rollback_targets(stagings: Sequence[StageAssignment]) -> list[str]:
    """The versions under the present one, the last on top: going back to one takes those above it away for good."""
    standing: list[str] = []
    for staging in stagings:
        if staging.version in standing:
            del standing[standing.index(staging.version) :]
        standing.append(staging.version)
    return standing[:-1]
