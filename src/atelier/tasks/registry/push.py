"""Pushing: data, models and tags to DVC's remote and to git's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atelier.tasks.registry.dvc_objects import DvcObjects, MissingObject, open_objects, present_outputs, tracked_outputs
from atelier.tasks.registry.tags import MODEL, Version
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock
from atelier.tasks.workspace.repository import git


@dataclass(frozen=True)
class PushedVersion:
    """What was pushed of a version."""

    version: str  # as style-model@v1.2.0
    copied: int  # files that the remote did not have
    missing: tuple[str, ...]  # outputs that are not on this machine

    @property
    def summary(self) -> str:
        """The result in a line."""
        missing = f"; not on this machine: {', '.join(self.missing)}" if self.missing else ""
        return f"{self.version}: {self.copied} files copied{missing}"


def push_versions(workspace: Workspace, objects: DvcObjects, versions: Sequence[Version]) -> list[PushedVersion]:
    """Copy versions to DVC's remote: models, and the data they were made from.

    `dvc push --all-tags` does not work here: it uses the remote of each commit, and an older commit may have none.

    Raises:
        ValueError: there is no remote.
        RuntimeError: a file could not be copied.
    """
    found = []
    for version in versions:
        copied, missing = 0, []
        for path, digest in tracked_outputs(workspace, version).items():
            try:
                copied += objects.push(digest)
            except MissingObject:
                missing.append(path)
        found.append(PushedVersion(version.name, copied, tuple(missing)))
    return found


def push_workspace(workspace: Workspace) -> str:
    """Push the outputs of the stages to DVC's default remote, and nothing else that the user has in DVC.

    Returns:
        A message for the user.

    Raises:
        RuntimeError: the remote cannot be reached or written.
    """
    with lock(workspace, "pipeline", 60.0), open_objects(workspace) as objects:
        if not objects.has_remote:
            return "no DVC remote is set: nothing was pushed (`dvc remote add --default NAME URL`)"
        copied = sum(objects.push(digest) for digest in present_outputs(workspace).values())
    return f"pushed {copied} files"


def push_git(workspace: Workspace, remote: str) -> None:
    """Push the current branch, the versions and the stages to a git remote.

    Raises:
        RuntimeError: the remote cannot be reached, or has commits that are not here.
        ValueError: it is no remote of the repository, or a folder that may have come with the workspace, whose hooks
            git would run.
    """
    if remote not in git(workspace.root, "remote").split():
        raise ValueError(f"retrain.git_remote is {remote!r}: name a remote that `git remote add` has made")
    for url in git(workspace.root, "remote", "get-url", "--push", "--all", remote).splitlines():
        local = url.startswith("file://") or "/" in url.partition(":")[0] or ":" not in url  # git's own rule
        path = Path(url.removeprefix("file://"))
        if local and (not path.is_absolute() or path.resolve().is_relative_to(workspace.root.resolve())):
            raise ValueError(
                f"git remote {remote} is {url!r}: name a URL, or the absolute path of a folder outside the workspace"
            )
    branch = git(workspace.root, "rev-parse", "--abbrev-ref", "HEAD").strip()
    tags = f"refs/tags/{MODEL}*:refs/tags/{MODEL}*"
    git(workspace.root, "push", "--quiet", "--", remote, f"HEAD:refs/heads/{branch}", tags)
