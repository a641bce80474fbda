"""Rolling back: `prod` becomes again what it was before."""

from collections.abc import Sequence

from atelier.tasks.registry import MODEL, PROD, Staging, assign, history
from atelier.tasks.versions import find, resolve
from atelier.tasks.workspace import Workspace, lock

_WAIT_S = 60.0


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
    with lock(workspace, "registry", _WAIT_S):
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
