"""The worktree of `atelier retrain`: a git worktree of the workspace that shares its DVC cache.

A failure there leaves the workspace as it was. A result that passes is applied to the workspace in one step: the files
of a commit and the data that they name. A result that does not pass stays, and the next run continues with it.
"""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from atelier.tasks.workspace.format_versions import formats_text
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.links import check_links
from atelier.tasks.workspace.locks import lock
from atelier.tasks.workspace.pipeline import checkout_data, owned_files, stages
from atelier.tasks.workspace.repository import dvc, git
from atelier.tasks.workspace.trust import is_trusted

BRANCH = "atelier/night"

_EDITED = ("dvc.yaml", ".gitignore")
_READY = Path(".dvc/tmp/atelier-night")  # a file in a complete worktree


def is_up_to_date(workspace: Workspace, scan: Callable[[Path], object]) -> bool:
    """Whether a run would have nothing to do: no worktree is left, and no source, code or parameter has changed.

    `scan` writes a `sources.lock` of the present sources to a file.
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
    try:
        return not json.loads(dvc(workspace.root, "status", "--json", *stages(workspace)))
    except RuntimeError:  # the run will say why
        return False


def open_worktree(workspace: Workspace) -> Workspace:
    """An earlier run's worktree or a new one, with the present parameters. Raises RuntimeError if git or DVC fails."""
    worktree, root = workspace.worktree, workspace.root
    if (worktree.root / _READY).exists():
        git(worktree.root, "reset", "--quiet", "--soft", git(root, "rev-parse", "HEAD").strip())
        _share_cache(workspace, worktree)  # credentials of the remote may have been corrected
    else:
        shutil.rmtree(worktree.root, ignore_errors=True)
        git(root, "worktree", "prune")
        git(root, "worktree", "add", "--quiet", "--force", "-B", BRANCH, str(worktree.root), "HEAD")
        check_links(root)  # a commit may have others than the workspace
        _share_cache(workspace, worktree)
        _copy_files(workspace, worktree, owned_files(workspace))  # files that stages run by hand have changed
        # stages make again what is not in the cache
        with_deps = ["--with-deps"] if is_trusted() else []  # a stage of the user's may need data of the user's
        checkout_data(worktree, "--allow-missing", *with_deps)
        (worktree.root / _READY).parent.mkdir(parents=True, exist_ok=True)
        (worktree.root / _READY).touch()
    _copy_files(workspace, worktree, ["params.yaml", "dvc.yaml", ".dvc/config"])
    return worktree


def apply_commit(workspace: Workspace, commit: str, message: str) -> None:
    """Apply a commit of the worktree, and the data that it names, to the workspace; after an error nothing has changed.

    Other files stay as they are, committed or not; so does a dvc.yaml or .gitignore that a person has edited meanwhile.
    A new commit has the message, where there are other commits since.

    Raises:
        RuntimeError: git or DVC failed.
    """
    root = workspace.root
    with lock(workspace, "pipeline", 60.0):
        head = git(root, "rev-parse", "HEAD").strip()
        if git(root, "rev-list", "--max-count=1", commit, f"^{head}").strip():  # not yet in the history
            listed = git(root, "diff", "--name-only", "--diff-filter=d", "-z", f"{commit}^", commit)
            changed = [path for path in listed.split("\0") if path]
            paths = [path for path in changed if not _edited_meanwhile(root, path, commit)]
            before = {path: (root / path).read_bytes() if (root / path).is_file() else None for path in paths}
            try:
                git(root, "checkout", "--quiet", commit, "--", *paths)
                checkout_data(workspace)
                if git(root, "rev-parse", f"{commit}^").strip() == head:
                    git(root, "update-ref", "-m", message, "HEAD", commit, head)
                    git(root, "reset", "--quiet", "--", *changed)  # the index, where a person's edit stays
                else:
                    git(root, "commit", "--quiet", "--message", message, "--", *paths)
            except BaseException:
                for path, data in before.items():
                    (root / path).unlink() if data is None else (root / path).write_bytes(data)
                git(root, "reset", "--quiet", "--", *paths)
                with contextlib.suppress(RuntimeError):
                    checkout_data(workspace)
                raise
        else:
            checkout_data(workspace)  # a run was killed after its commit and before this


def _edited_meanwhile(root: Path, path: str, commit: str) -> bool:
    """Whether a person has another version of a file that both a person and DVC edit than the commit and its parent."""
    file = root / path
    if file.name not in _EDITED or not file.is_file():
        return False
    known = {git(root, "rev-parse", f"{commit}:{path}").strip()}
    with contextlib.suppress(RuntimeError):  # the parent has no such file
        known.add(git(root, "rev-parse", f"{commit}^:{path}").strip())
    return git(root, "hash-object", "--no-filters", "--", path).strip() not in known


def remove_worktree(workspace: Workspace) -> None:
    """Remove a worktree that is no longer needed; its results are in DVC's cache and in git."""
    worktree = workspace.worktree
    if worktree.root.exists():
        (worktree.root / _READY).unlink(missing_ok=True)
        with contextlib.suppress(RuntimeError):
            git(workspace.root, "worktree", "remove", "--force", str(worktree.root))
        shutil.rmtree(worktree.root, ignore_errors=True)
        git(workspace.root, "worktree", "prune")
    with contextlib.suppress(RuntimeError):
        git(workspace.root, "branch", "--quiet", "-D", BRANCH)


def _copy_files(workspace: Workspace, worktree: Workspace, paths: list[str]) -> None:
    """Copy files as they are, committed or not."""
    for path in paths:
        source, target = workspace.root / path, worktree.root / path
        if source.is_file() and (not target.is_file() or target.read_bytes() != source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def _share_cache(workspace: Workspace, worktree: Workspace) -> None:
    """Give a worktree the workspace's cache, and the user's DVC settings outside git, such as credentials."""
    local = workspace.root / ".dvc" / "config.local"
    if local.is_file():
        shutil.copyfile(local, worktree.root / ".dvc" / "config.local")
    cache = workspace.root / dvc(workspace.root, "cache", "dir").strip()
    dvc(worktree.root, "cache", "dir", "--local", str(cache.absolute()))
