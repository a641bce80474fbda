"""Promotion and rollback: which version is `prod`."""

from collections.abc import Sequence
from dataclasses import replace

from atelier.tasks.evaluation.gate import GateConfig, PairedComparison
from atelier.tasks.registry.release import Release, enter
from atelier.tasks.registry.resolve import find, resolve
from atelier.tasks.registry.tags import (
    MODEL,
    PROD,
    REGISTRY_WAIT_S,
    Staging,
    Version,
    assign,
    history,
    list_versions,
    of_name,
    was_staged,
)
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock


def release(workspace: Workspace, config: GateConfig, prod: PairedComparison | None, model: str = MODEL) -> Release:
    """Commit, judge and register a model that was trained in the workspace, and make it `prod` if it passes.

    Arguments and errors as `enter`.
    """
    found = enter(workspace, workspace, config, prod, model)
    if found.decision != "passed":
        return found
    promote(workspace, found.version, reason="; ".join(found.reasons) or "passed the gate", model=model)
    return replace(found, decision="promoted")


def waiting(workspace: Workspace, model: str = MODEL) -> list[Version]:
    """Versions that passed and were never promoted, the newest first: a person may approve them."""
    versions = list_versions(workspace, model)
    return [v for v in versions if v.passed and v.stage is None and not was_staged(workspace, v)]


def promote(workspace: Workspace, version: str, stage: str = PROD, *, reason: str, model: str = MODEL) -> None:
    """Make a registered version the one of a stage, in one step: a tag. An older version is a rollback.

    Raises:
        ValueError: there is no such version.
    """
    with lock(workspace, "registry", REGISTRY_WAIT_S):
        of_name(list_versions(workspace, model), model, version)
        assign(workspace, model, version, stage, reason)


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
        now = find(workspace, f"{model}@{PROD}").version
        standing = before(history(workspace, model))
        if to is None and not standing:
            raise ValueError(f"no version of {model} was prod before {now}: there is nothing to go back to")
        wanted = to or standing[-1]
        if wanted == now:
            raise ValueError(f"{model}@{now} is prod already: name another version")
        name = find(workspace, f"{model}@{wanted}").name
        if wanted not in {staging.version for staging in history(workspace, model)}:
            raise ValueError(f"{name} never was prod: make it prod with `atelier models promote {name} --reason …`")
        resolve(workspace, name)
        assign(workspace, model, wanted, PROD, reason)
    return wanted


def before(stagings: Sequence[Staging]) -> list[str]:
    """The versions under the present one, the last on top: going back to one takes those above it away for good."""
    standing: list[str] = []
    for staging in stagings:
        if staging.version in standing:
            del standing[standing.index(staging.version) :]
        standing.append(staging.version)
    return standing[:-1]
