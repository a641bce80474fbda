"""What stays: of each model `prod`, what was made `prod` in the last promotions and the newest versions; and all that
branches, worktrees and tags of a person's own name."""

from datetime import datetime
from pathlib import Path

from atelier.tasks.registry.tags import MODEL, PROD, Version, list_models, list_versions, parse_name, stage_history
from atelier.tasks.runtime.processes import git
from atelier.tasks.workspace.layout import Workspace


def kept_versions(workspace: Workspace, keep: int) -> list[Version]:
    """The versions that stay.

    Args:
        workspace: where.
        keep: how many promotions, and how many of the newest versions, of each model.
    """
    found = []
    for model in list_models(workspace):
        versions = list_versions(workspace, model)
        promoted = {staging.version for staging in stage_history(workspace, model)[-keep:]}
        found += [
            version
            for place, version in enumerate(versions)
            if place < keep or version.stage == PROD or version.version in promoted
        ]
    return found


def last_registered(workspace: Workspace, model: str | None = None) -> float:
    """When the newest version of a model, or of any, was registered, as a time stamp; 0 before the first."""
    models = [model] if model else list_models(workspace)
    dates = [version.registered for one in models for version in list_versions(workspace, one)]
    return max((datetime.fromisoformat(date).timestamp() for date in dates), default=0.0)


def list_worktrees(workspace: Workspace) -> list[Workspace]:
    """The workspace, and the worktrees of its repository that are workspaces too: they use the same cache."""
    listed = git(workspace.root, "worktree", "list", "--porcelain").splitlines()
    roots = [Path(line.removeprefix("worktree ")) for line in listed if line.startswith("worktree ")]
    others = [root for root in roots if (root / ".dvc").is_dir() and not root.samefile(workspace.root)]
    return [workspace, *(Workspace(root) for root in others)]


def pinned_commits(workspace: Workspace) -> list[str]:
    """Commits that somebody works on in a worktree, or that a person has tagged; DVC looks at branches by itself."""
    listed = git(workspace.root, "worktree", "list", "--porcelain").splitlines()
    heads = {line.removeprefix("HEAD ") for line in listed if line.startswith("HEAD ")}
    form = "%(refname:strip=2) %(objecttype) %(*objecttype)"
    for line in git(workspace.root, "for-each-ref", f"--format={form}", "refs/tags").splitlines():
        tag, *kinds = line.split()
        if "commit" in kinds and not parse_name(tag) and not (tag.startswith(MODEL) and "#" in tag):
            heads.add(tag)
    return sorted(heads - {"0" * 40})
