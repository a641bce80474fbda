"""git and DVC in a workspace. Before each call the settings are checked that the workspace brings along."""

import sys
from pathlib import Path

from atelier.tasks.runtime import processes
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.trust import check_pipeline, check_settings, foreign_filters


def git(root: Path, *arguments: str) -> str:
    """Run git in a workspace, without hooks, filters of the repository, signatures and questions; return its output.

    Raises:
        RuntimeError: it failed.
        ValueError: the settings name a program, see `trust.check_settings`.
    """
    check_settings(root)
    return processes.git(root, *foreign_filters(root), *arguments)


def dvc(root: Path, *arguments: str) -> str:
    """Run DVC in a workspace and return its output.

    Raises:
        RuntimeError: it failed.
        ValueError: settings or stages are not Atelier's own, see `trust`.
    """
    return processes.run(dvc_command(root, *arguments), root)


def dvc_command(root: Path, *arguments: str) -> list[str]:
    """The command line of DVC for a workspace, once its settings and stages are checked. Raises ValueError as `dvc`."""
    check_settings(root)
    if (workspace := Workspace(root)).dvc_yaml.exists():
        check_pipeline(workspace)
    return [sys.executable, "-m", "atelier.tasks.workspace.safe_dvc", *arguments]
