"""Remotes: where data and models are kept beside this machine."""

from atelier.tasks.registry.tags import MODEL
from atelier.tasks.runtime.processes import dvc, git
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock


def default(workspace: Workspace) -> str | None:
    """The name of DVC's default remote, None where there is none."""
    try:
        return dvc(workspace.root, "config", "core.remote").strip() or None
    except RuntimeError:  # it is not set
        return None


def push(workspace: Workspace) -> str:
    """Push the data and the model that the workspace's files name; what is there already is not sent again.

    Returns:
        What was done, for a person.

    Raises:
        RuntimeError: the remote cannot be reached or written.
    """
    remote = default(workspace)
    if remote is None:
        return "no DVC remote is set: nothing was pushed (`dvc remote add --default NAME URL`)"
    with lock(workspace, "pipeline", 60.0):
        dvc(workspace.root, "push", "--quiet", "--remote", remote)
    return f"pushed to {remote}"


def push_git(workspace: Workspace, remote: str) -> None:
    """Push the present branch, the versions and the stages to a git remote.

    Raises:
        RuntimeError: it cannot be reached, or holds something that is not here.
    """
    branch = git(workspace.root, "rev-parse", "--abbrev-ref", "HEAD").strip()
    tags = f"refs/tags/{MODEL}*:refs/tags/{MODEL}*"
    git(workspace.root, "push", "--quiet", remote, f"HEAD:refs/heads/{branch}", tags)
