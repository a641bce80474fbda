"""Where a night works: a git worktree of the workspace with the same DVC cache.

Whatever fails there leaves the workspace as it was. What passed is adopted in one step, the files of a commit and the
data that it names; what did not stays, so that the next night continues with it.
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from atelier.tasks.runtime.processes import dvc, environment, git
from atelier.tasks.workspace.format_versions import formats_text
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock
from atelier.tasks.workspace.pipeline import owned_files

BRANCH = "atelier/night"

_READY = Path(".dvc/tmp/atelier-night")  # in a worktree that is complete


def is_up_to_date(workspace: Workspace, scan: Callable[[Path], object]) -> bool:
    """Whether a night would have nothing to do: nothing is left of another one, and nothing has changed since.

    Args:
        workspace: whose night it would be.
        scan: writes a `sources.lock` of the sources as they are now to the file that it is given.
    """
    if (workspace.worktree.root / _READY).exists() or not workspace.sources_lock.is_file():
        return False
    if not workspace.formats.is_file() or workspace.formats.read_text() != formats_text():
        return False
    with tempfile.TemporaryDirectory() as folder:
        now = Path(folder) / workspace.sources_lock.name
        shutil.copyfile(workspace.sources_lock, now)
        scan(now)
        if now.read_bytes() != workspace.sources_lock.read_bytes():
            return False
    command = [sys.executable, "-m", "dvc", "status", "--quiet"]  # the exit code tells
    return subprocess.run(command, cwd=workspace.root, env=environment(), capture_output=True).returncode == 0


def open_worktree(workspace: Workspace) -> Workspace:
    """The worktree of tonight: the one that an earlier night left, or a new one, with the parameters of today.

    Raises:
        RuntimeError: git or DVC failed.
    """
    night, root = workspace.worktree, workspace.root
    if (night.root / _READY).exists():
        git(night.root, "reset", "--quiet", "--soft", git(root, "rev-parse", "HEAD").strip())
        _share_cache(workspace, night)  # its remote's credentials may have been mended
    else:
        shutil.rmtree(night.root, ignore_errors=True)
        git(root, "worktree", "prune")
        git(root, "worktree", "add", "--quiet", "--force", "-B", BRANCH, str(night.root), "HEAD")
        _share_cache(workspace, night)
        _take(workspace, night, owned_files(workspace))  # what stages that were run by hand have changed
        # what is not in the cache is made again
        dvc(night.root, "checkout", "--quiet", "--force", "--allow-missing")
        (night.root / _READY).parent.mkdir(parents=True, exist_ok=True)
        (night.root / _READY).touch()
    _take(workspace, night, ["params.yaml", "dvc.yaml", ".dvc/config"])
    return night


def apply_commit(workspace: Workspace, commit: str, message: str) -> None:
    """Bring a commit of a night, and the data that it names, into the workspace; when that fails, nothing is changed.

    Args:
        workspace: where to; its other files stay as they are, committed or not.
        commit: of a version that passed.
        message: of a further commit, where the workspace has got others meanwhile.

    Raises:
        RuntimeError: git or DVC failed.
    """
    root = workspace.root
    with lock(workspace, "pipeline", 60.0):
        head = git(root, "rev-parse", "HEAD").strip()
        if not _contains(root, commit, head):
            listed = git(root, "diff", "--name-only", "--diff-filter=d", "-z", f"{commit}^", commit)
            paths = [path for path in listed.split("\0") if path]
            before = {path: (root / path).read_bytes() if (root / path).is_file() else None for path in paths}
            try:
                git(root, "checkout", "--quiet", commit, "--", *paths)
                _fetch(root)
                if git(root, "rev-parse", f"{commit}^").strip() == head:
                    git(root, "update-ref", "-m", message, "HEAD", commit, head)
                else:
                    git(root, "commit", "--quiet", "--message", message, "--", *paths)
            except BaseException:
                for path, data in before.items():
                    (root / path).unlink() if data is None else (root / path).write_bytes(data)
                git(root, "reset", "--quiet", "--", *paths)
                with contextlib.suppress(RuntimeError):
                    _fetch(root)
                raise
        else:
            _fetch(root)  # of a night that was killed in the middle of this


def remove_worktree(workspace: Workspace) -> None:
    """Remove a worktree that has served its purpose; all that it made is in DVC's cache and in git."""
    night = workspace.worktree
    if night.root.exists():
        (night.root / _READY).unlink(missing_ok=True)
        with contextlib.suppress(RuntimeError):
            git(workspace.root, "worktree", "remove", "--force", str(night.root))
        shutil.rmtree(night.root, ignore_errors=True)
        git(workspace.root, "worktree", "prune")
    with contextlib.suppress(RuntimeError):
        git(workspace.root, "branch", "--quiet", "-D", BRANCH)


def _take(workspace: Workspace, night: Workspace, paths: list[str]) -> None:
    """Copy files as they stand, committed or not."""
    for path in paths:
        source, target = workspace.root / path, night.root / path
        if source.is_file() and (not target.is_file() or target.read_bytes() != source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def _share_cache(workspace: Workspace, night: Workspace) -> None:
    """Have a worktree use the workspace's cache, and what the user keeps from git, such as a remote's credentials."""
    local = workspace.root / ".dvc" / "config.local"
    if local.is_file():
        shutil.copyfile(local, night.root / ".dvc" / "config.local")
    cache = workspace.root / dvc(workspace.root, "cache", "dir").strip()
    dvc(night.root, "cache", "dir", "--local", str(cache.absolute()))


def _contains(root: Path, commit: str, head: str) -> bool:
    """Whether a commit is the present one or one before it."""
    command = ["git", "merge-base", "--is-ancestor", commit, head]  # the exit code tells
    return subprocess.run(command, cwd=root, env=environment(), capture_output=True).returncode == 0


def _fetch(root: Path) -> None:
    """Have the workspace hold the data that its files name."""
    dvc(root, "checkout", "--quiet", "--force")
