"""Garbage collection: unneeded objects of DVC's cache, folders of versions and checkpoints; `retention` is the rule."""

import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from atelier.tasks.registry.dvc_objects import DvcObjects, MissingObject, is_folder, open_repo
from atelier.tasks.registry.model_details import list_all_versions
from atelier.tasks.registry.retention import kept_versions, last_registered, list_worktrees, named_commits
from atelier.tasks.registry.tags import MODEL, REGISTRY_WAIT_S, style_model_name
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock

KEEP = 5  # promotions and newest versions that are kept


@dataclass(frozen=True)
class CollectedGarbage:
    """What was removed, or would be."""

    dry_run: bool
    kept: tuple[str, ...]  # versions, as style-model@v1.2.0
    dropped: tuple[str, ...]  # versions whose bytes were removed from this machine
    remote: bool  # whether there is a remote, from which dropped versions can be pulled if they were pushed
    folders: tuple[str, ...]  # folders of versions that are not kept
    checkpoints: tuple[str, ...]  # of finished or superseded trainings
    objects: int  # files of DVC's cache
    runs: int  # entries of DVC's run cache
    bytes: int
    note: str  # what was left alone, and why, else ""

    @property
    def summary(self) -> str:
        """The result in a few lines."""
        lines = [
            f"{'would remove' if self.dry_run else 'removed'} {self.bytes / 1e6:.1f} MB: {self.objects} files of DVC's "
            f"cache, {len(self.folders)} folders of models, {len(self.checkpoints)} of checkpoints",
            f"kept: {', '.join(self.kept) or 'no version, none is registered'}",
        ]
        if self.dropped:
            where = "in the remote, if it was pushed" if self.remote else "nowhere: there is no remote"
            lines.append(f"no longer here: {', '.join(self.dropped)}; what is dropped is {where}")
        return "\n".join([*lines, *([self.note] if self.note else [])])


def collect_garbage(workspace: Workspace, keep: int = KEEP, dry_run: bool = False) -> CollectedGarbage:
    """Remove unneeded objects, folders and checkpoints, while no pipeline runs.

    Args:
        workspace: with the registry and the DVC cache.
        keep: number of promotions, and of the newest versions, of each model that are kept.
        dry_run: remove nothing.

    Raises:
        ValueError: `keep` is below 1.
        RuntimeError: a pipeline runs, or DVC cannot tell what a branch or worktree needs; nothing was removed.
    """
    if keep < 1:
        raise ValueError(f"--keep is {keep}: keep at least one version")
    places = list_worktrees(workspace)
    with ExitStack() as stack:
        stack.enter_context(lock(workspace, "night"))
        by_locks = {place.locks: place for place in places}  # the worktree of a night shares its workspace's locks
        for place in by_locks.values():
            stack.enter_context(lock(place, "pipeline"))
            stack.enter_context(lock(place, "registry", REGISTRY_WAIT_S))
        repos = [stack.enter_context(open_repo(place)) for place in places]
        for repo in repos:
            stack.enter_context(repo.lock)
        kept, objects = kept_versions(workspace, keep), DvcObjects(repos[0])
        used = _used(repos, [*named_commits(workspace), *(version.name for version in kept)])
        runs = _runs(workspace, repos, objects, {version.bytes for version in kept}, used)
        store = repos[0].cache.local
        shared = not Path(store.path).resolve().is_relative_to(workspace.root.resolve())
        garbage = [] if shared else [Path(store.oid_to_path(digest)) for digest in store.all() if digest not in used]
        folders, checkpoints = _folders(workspace, {version.name for version in kept}), _checkpoints(workspace)
        here = [one.version for one in list_all_versions(workspace, objects) if one.here and one.version not in kept]
        result = CollectedGarbage(
            dry_run=dry_run,
            kept=tuple(version.name for version in kept),
            dropped=tuple(version.name for version in here if not shared and version.bytes not in used),
            remote=objects.has_remote,
            folders=tuple(path.relative_to(workspace.models).as_posix() for path in folders),
            checkpoints=tuple(path.relative_to(workspace.private).as_posix() for path in checkpoints),
            objects=len(garbage),
            runs=0 if shared else len(runs),
            bytes=sum(map(_size, [*folders, *checkpoints, *garbage])),
            note=f"{store.path} may be shared with other projects: use `dvc gc --projects`" if shared else "",
        )
        if not dry_run:
            for path in folders:
                with lock(workspace, f"{path.parent.name}-{path.name}", REGISTRY_WAIT_S):  # as `resolve.resolve` does
                    _remove(path)
            for path in checkpoints:
                _remove(path)
            if not shared:
                for path in runs:
                    path.unlink()
                _sweep(store, used)
    return result


def _used(repos: Sequence[Any], revisions: Sequence[str]) -> set[str]:
    """Hashes of the objects that worktrees, all branches and some revisions name."""
    from dvc.exceptions import DvcException

    try:
        # `force` skips folders whose list of files is lost: they cannot be restored anyway
        named = [repo.used_objs(force=True) for repo in repos]
        named.append(repos[0].used_objs(revs=list(revisions), all_branches=True, all_experiments=True, force=True))
    except DvcException as error:
        raise RuntimeError(f"DVC cannot tell what is needed, nothing was removed: {error}") from error
    return {info.value for found in named for infos in found.values() for info in infos}


def _runs(
    workspace: Workspace, repos: Sequence[Any], objects: DvcObjects, models: set[str], used: set[str]
) -> list[Path]:
    """Unneeded entries of DVC's run cache; the outputs of needed ones are added to `used`.

    An entry is needed if it is newer than the last version, because the next night continues a failed one; if all its
    outputs are kept; or if it depends on a kept model.
    """
    useless = []
    newest = last_registered(workspace)
    for path in sorted(Path(repos[0].stage_cache.cache_dir).glob("??/*/*")):
        try:
            entry = YAML(typ="safe", pure=True).load(path.read_text())
            made = {str(out["md5"]) for out in entry["outs"]}
            of = {str(dep["md5"]) for dep in entry["deps"]}
        except Exception:  # noqa: BLE001 - DVC would not use a damaged entry either
            useless.append(path)
            continue
        if path.stat().st_mtime > newest or made <= used or of & models:
            for digest in made:
                used.add(digest)
                try:
                    used.update(objects.files(digest).values() if is_folder(digest) else ())
                except (MissingObject, ValueError):
                    continue
        else:
            useless.append(path)
    return useless


def _folders(workspace: Workspace, kept: set[str]) -> list[Path]:
    """Folders of versions that are not kept, which DVC can write again, and unfinished folders of killed processes."""
    found = sorted(workspace.models.glob("*/v*"))
    killed = [path for path in workspace.models.glob("*/.v*-*") if not _is_alive(path.name.rpartition("-")[2])]
    return [path for path in found if f"{path.parent.name}@{path.name}" not in kept] + sorted(killed)


def _is_alive(process: str) -> bool:
    return not process.isdecimal() or psutil.pid_exists(int(process))


def _checkpoints(workspace: Workspace) -> list[Path]:
    """Checkpoints older than the newest version of their model, whose training is finished or superseded.

    Also what a collection that was killed has renamed and not removed.
    """
    runs = [(MODEL, path) for path in workspace.checkpoints.glob("*/")]
    for path in workspace.style_runs.glob("*/checkpoints/*/"):
        runs.append((style_model_name(path.parent.parent.name), path))
    newest = {model: last_registered(workspace, model) for model, _ in runs}
    return [path for model, path in sorted(runs) if path.name.startswith(".") or _changed(path) < newest[model]]


def _sweep(store: Any, used: set[str]) -> None:
    """Remove all objects that are not used, as `dvc gc` does."""
    from dvc_data.hashfile.gc import gc
    from dvc_data.hashfile.hash_info import HashInfo

    gc(store, [HashInfo(store.hash_name, digest) for digest in used])


def _remove(path: Path) -> None:
    """Remove a folder; it is renamed first, so that it is never seen half removed."""
    gone = path.with_name(f".{path.name}-{os.getpid()}")
    path.replace(gone)
    shutil.rmtree(gone)


def _changed(path: Path) -> float:
    return max(one.stat().st_mtime for one in [path, *path.rglob("*")])


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)
