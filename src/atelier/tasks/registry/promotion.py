"""Promotion and rollback: assigning versions to the stage `prod`."""

from collections.abc import Callable, Sequence

from atelier.tasks.registry.resolve import find_version, resolve
from atelier.tasks.registry.tags import (
    MODEL,
    PROD,
    REGISTRY_WAIT_S,
    REJECTED,
    StageAssignment,
    Version,
    assign_stage,
    find_prod,
    get_version,
    list_versions,
    stage_history,
    was_assigned,
)
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock


def list_awaiting_approval(workspace: Workspace, model: str = MODEL) -> list[Version]:
    """Versions that passed the gate and were never promoted, the newest first."""
    versions = list_versions(workspace, model)
    return [v for v in versions if v.passed and v.stage is None and not was_assigned(workspace, v)]


class ProdChanged(RuntimeError):  # noqa: N818 (it names what happened)
    """Another version became `prod` since the comparison; the message says what to do."""


def promote(
    workspace: Workspace,
    version: str,
    *,
    reason: str,
    model: str = MODEL,
    instead_of: str | None = None,
    apply: Callable[[], None] | None = None,
) -> None:
    """Assign a registered version to `prod`, atomically: by one tag.

    Args:
        workspace: with the registry.
        version: its number; if it is `prod` already, and `instead_of` is given, only `apply` is called.
        reason: recorded in the registry.
        model: artifact name.
        instead_of: the version that has to be `prod` still, "" for none; None overrules whatever is `prod`.
        apply: called before, under the registry's lock: nobody promotes or rolls back meanwhile.

    Raises:
        ValueError: the version is not registered.
        ProdChanged: `instead_of` is not `prod` any more; nothing has changed.
    """
    with lock(workspace, "registry", REGISTRY_WAIT_S):
        versions = list_versions(workspace, model)
        wanted = get_version(versions, model, version)
        prod = find_prod(versions)
        now = prod.version if prod else ""
        if instead_of not in (None, now) and now != version:
            raise ProdChanged(
                f"{version} was compared with {instead_of or 'no version'}, but {now or 'none'} is prod since: "
                f"a person's choice stays. `atelier models promote {wanted.name} --reason …` makes {version} prod"
            )
        if apply:
            apply()
        if instead_of is None or now != version:
            assign_stage(workspace, model, version, PROD, reason)


def reject(workspace: Workspace, version: str, reason: str, model: str = MODEL) -> None:
    """Assign a version that awaits approval to the stage `rejected`: nobody is asked about it again.

    Raises:
        ValueError: the version does not await approval.
    """
    with lock(workspace, "registry", REGISTRY_WAIT_S):
        waiting = [one.version for one in list_awaiting_approval(workspace, model)]
        if version not in waiting:
            raise ValueError(f"{model}@{version} does not await approval: {', '.join(waiting) or 'no version'} does")
        assign_stage(workspace, model, version, REJECTED, reason)


def rollback(workspace: Workspace, reason: str, model: str = MODEL, to: str | None = None) -> str:
    """Assign `prod` to the version before, or to an earlier one.

    Args:
        workspace: with the registry.
        reason: recorded in the registry.
        model: artifact name.
        to: a version that was `prod` once; None means the one before.

    Returns:
        The version that is `prod` now.

    Raises:
        ValueError: there is no earlier version, or `to` never was `prod` or is it now.
        RuntimeError: the bytes are missing; nothing has changed.
    """
    with lock(workspace, "registry", REGISTRY_WAIT_S):
        now = find_version(workspace, f"{model}@{PROD}").version
        targets = rollback_targets(stage_history(workspace, model))
        if to is None and not targets:
            raise ValueError(f"no version of {model} was prod before {now}: there is nothing to go back to")
        wanted = to or targets[-1]
        if wanted == now:
            raise ValueError(f"{model}@{now} is prod already: name another version")
        name = find_version(workspace, f"{model}@{wanted}").name
        if wanted not in {assignment.version for assignment in stage_history(workspace, model)}:
            raise ValueError(f"{name} never was prod: make it prod with `atelier models promote {name} --reason …`")
        resolve(workspace, name)
        assign_stage(workspace, model, wanted, PROD, reason)
    return wanted


def rollback_targets(assignments: Sequence[StageAssignment]) -> list[str]:
    """Earlier `prod` versions to go back to, the most recent last. A rollback removes the versions after its target."""
    targets: list[str] = []
    for assignment in assignments:
        if assignment.version in targets:
            del targets[targets.index(assignment.version) :]
        targets.append(assignment.version)
    return targets[:-1]
