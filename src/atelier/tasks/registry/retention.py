"""The retention rule of garbage collection: which versions and commits are kept.

Of each model `prod`, the last promotions and the newest versions are kept, and everything that branches, worktrees and
the user's own tags name.
"""

from datetime import datetime
from pathlib import Path

from atelier.tasks.registry.tags import MODEL, PROD, Version, list_models, list_versions, parse_name, stage_history
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.repository import git


def kept_versions(workspace: Workspace, keep: int) -> list[Version]:
    """The versions that are kept.

    Args:
        workspace: with the registry.
        keep: number of promotions, and of the newest versions, of each model.
    """
    found = []
    for model in list_models(workspace):
        versions = list_versions(workspace, model)
        promoted = {one.version for one in stage_history(workspace, model)[-keep:]}
        found += [
            version
            for place, version in enumerate(versions)
            if place < keep or version.stage == PROD or version.version in promoted
        ]
    return found


def last_registered(workspace: Workspace, model: str | None = None) -> float:
    """Time stamp of the last registration of a model, or of any model; 0 before the first."""
    models = [model] if model else list_models(workspace)
    dates = [version.registered for one in models for version in list_versions(workspace, one)]
    return max((datetime.fromisoformat(date).timestamp() for date in dates), default=0.0)


def list_worktrees(workspace: Workspace) -> list[Workspace]:
    """The workspace, and the worktrees of its repository that are workspaces too; they share the cache."""
    listed = git(workspace.root, "worktree", "list", "--porcelain").splitlines()
    roots = [Path(line.removeprefix("worktree ")) for line in listed if line.startswith("worktree ")]
    others = [root for root in roots if (root / ".dvc").is_dir() and not root.samefile(workspace.root)]
    return [workspace, *(Workspace(root) for root in others)]


def named_commits(workspace: Workspace) -> list[str]:
    """Heads of worktrees, and commits with tags of the user's own; DVC itself includes branches."""
    listed = git(workspace.root, "worktree", "list", "--porcelain").splitlines()
    heads = {line.removeprefix("HEAD ") for line in listed if line.startswith("HEAD ")}
    form = "%(refname:strip=2) %(objecttype) %(*objecttype)"
    for line in git(workspace.root, "for-each-ref", f"--format={form}", "refs/tags").splitlines():
        tag, *kinds = line.split()
        if "commit" in kinds and not parse_name(tag) and not (tag.startswith(MODEL) and "#" in tag):
            heads.add(tag)
    return sorted(heads - {"0" * 40})
