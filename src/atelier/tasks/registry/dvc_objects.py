"""DVC objects: files by their MD5 hash, in the local cache or else in the remote, and the outputs of a version."""

import hashlib
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, cast

from ruamel.yaml import YAML

from atelier.tasks.registry.tags import MODEL, Version
from atelier.tasks.runtime.errors import user_message
from atelier.tasks.runtime.processes import dvc_state_folder
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.repository import git
from atelier.tasks.workspace.safe_dvc import refuse_names_outside
from atelier.tasks.workspace.trust import check_settings

_DIR = ".dir"  # suffix of the hash of a folder, whose object lists its files
_DIGEST = re.compile(r"[0-9a-f]{32}(\.dir)?")


class MissingObject(RuntimeError):  # noqa: N818 (it names what happened)
    """An object that is neither in the cache nor in the remote."""


class DvcObjects:
    """The DVC objects of a workspace."""

    def __init__(self, repo: Any) -> None:
        self._repo = repo
        self._cache = repo.cache.local

    def path(self, digest: str) -> Path:
        """Path of an object in the cache, whether it is there or not.

        Raises:
            ValueError: it is no hash; a lock file or a tag of somebody else may name any path there.
        """
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is no hash of DVC: the file or the tag that names it is damaged")
        return Path(self._cache.oid_to_path(digest))

    def is_cached(self, digest: str) -> bool:
        """Whether an output is in the cache with all its files; their bytes are not checked."""
        if not self.path(digest).is_file():
            return False
        try:
            return not is_folder(digest) or all(self.path(one).is_file() for one in self.files(digest).values())
        except ValueError:
            return False

    def files(self, digest: str) -> dict[str, str]:
        """The hash of each file of a folder, by relative path.

        Raises:
            MissingObject: the list of files is missing.
            ValueError: it is damaged.
        """
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree

        store = self._cache if self.path(digest).is_file() else self._remote_with(digest)
        try:
            tree = Tree.load(store, HashInfo("md5", digest))
        except (ValueError, KeyError, TypeError) as error:
            reason = str(error) or type(error).__name__
            raise ValueError(f"the list of a folder's files, {digest}, is damaged in {store.path}: {reason}") from error
        return {"/".join(parts): info.value for parts, _, info in tree}

    @contextmanager
    def open(self, digest: str) -> Iterator[BinaryIO]:
        """Open an object in the cache or in the remote.

        Raises:
            MissingObject: it is in neither.
        """
        if self.path(digest).is_file():
            with self.path(digest).open("rb") as file:
                yield file
            return
        store = self._remote_with(digest)
        with store.fs.open(store.oid_to_path(digest), "rb") as file:
            yield cast("BinaryIO", file)

    def read(self, digest: str) -> bytes:
        """The bytes of an object.

        Raises:
            MissingObject: it is missing.
        """
        with self.open(digest) as file:
            return file.read()

    def md5(self, digest: str) -> str:
        """The MD5 hash of an object's bytes; equal to its name if it is whole.

        Raises:
            MissingObject: it is missing.
        """
        found = hashlib.md5(usedforsecurity=False)
        with self.open(digest) as file:
            while block := file.read(1 << 20):
                found.update(block)
        return found.hexdigest() + (_DIR if is_folder(digest) else "")

    def fetch(self, digest: str) -> None:
        """Fetch an output from the remote into the cache, if it is not there.

        Raises:
            MissingObject: a file is missing.
        """
        if self.is_cached(digest):
            return
        self._repo.cloud.pull(self._infos(digest))
        if not self.is_cached(digest):
            raise MissingObject(f"{digest} is not complete in the remote")

    def copy(self, digest: str, folder: Path) -> None:
        """Write the files of a folder, fetched before if they are not in the cache.

        Raises:
            MissingObject: a file is missing.
            ValueError: the list of files is damaged.
        """
        self.fetch(digest)
        for name, one in self.files(digest).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path(one), target)

    def push(self, digest: str) -> int:
        """Copy an output from the cache to the remote, if it is not there.

        Returns:
            The number of copied files.

        Raises:
            MissingObject: a file is missing in the cache.
            ValueError: there is no remote.
            RuntimeError: a file could not be copied.
        """
        if not self.has_remote:
            raise ValueError("there is no remote: add one with `dvc remote add --default NAME URL`")
        if not self.is_cached(digest):
            raise MissingObject(f"{digest} is not in DVC's cache with all its files")
        from dvc.exceptions import DvcException

        try:
            result = self._repo.cloud.push(self._infos(digest))
        except (OSError, DvcException) as error:
            raise RuntimeError(f"the push to DVC's remote failed: {user_message(error)}") from error
        if result.failed:
            raise RuntimeError(f"the push failed: {len(result.failed)} files of {digest} could not be copied")
        return len(result.transferred)

    @property
    def has_remote(self) -> bool:
        """Whether DVC has a remote to pull from."""
        return self._remote is not None

    @cached_property
    def _remote(self) -> Any:
        """The remote that DVC pulls from, or None."""
        from dvc.config import NoRemoteError

        try:
            return self._repo.cloud.get_remote_odb(None, "read", hash_name="md5")
        except NoRemoteError:
            return None

    def _infos(self, digest: str) -> set[Any]:
        """The object of an output and those of its files, in DVC's type."""
        from dvc_data.hashfile.hash_info import HashInfo

        files = self.files(digest).values() if is_folder(digest) else ()
        return {HashInfo("md5", one) for one in (digest, *files)}

    def _remote_with(self, digest: str) -> Any:
        """The remote, if it has an object."""
        if self._remote is None:
            raise MissingObject(f"{digest} is not in DVC's cache, and there is no remote")
        if not self._remote.exists(digest):
            raise MissingObject(f"{digest} is neither in DVC's cache nor in the remote")
        return self._remote


@contextmanager
def open_objects(workspace: Workspace) -> Iterator[DvcObjects]:
    """Open the DVC objects of a workspace."""
    with open_repo(workspace) as repo:
        yield DvcObjects(repo)


@contextmanager
def open_repo(workspace: Workspace) -> Iterator[Any]:
    """Open a workspace as a DVC repository, without DVC's log messages.

    Raises:
        ValueError: its settings are not only a user's own, see `trust.check_settings`.
    """
    check_settings(workspace.root)
    refuse_names_outside()
    from dvc.repo import Repo

    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with Repo(str(workspace.root), config={"core": {"site_cache_dir": dvc_state_folder()}}) as repo:
            yield repo
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def is_folder(digest: str) -> bool:
    """Whether a hash is the hash of a folder."""
    return digest.endswith(_DIR)


def tracked_outputs(workspace: Workspace, version: Version) -> dict[str, str]:
    """Paths and hashes of a version's DVC outputs, by its commit: the model and all that it was made from.

    Raises:
        RuntimeError: the commit has no DVC files.
    """
    found = _outputs(_yaml(workspace, version, "dvc.yaml"), _yaml(workspace, version, "dvc.lock"))
    if version.model == MODEL:
        return found
    folder = workspace.model_folder(version.model).relative_to(workspace.root).as_posix()
    model = {folder: str(_yaml(workspace, version, f"{folder}.dvc")["outs"][0]["md5"])}
    data = {path.relative_to(workspace.root).as_posix() for path in (workspace.dataset, workspace.augmented)}
    # the other outputs belong to another model
    return {path: digest for path, digest in found.items() if path in data} | model


def present_outputs(workspace: Workspace) -> dict[str, str]:
    """Paths and hashes of the outputs that the workspace's own dvc.lock names."""
    texts = (path.read_text() if path.is_file() else "" for path in (workspace.dvc_yaml, workspace.dvc_lock))
    return _outputs(*(dict(YAML(typ="safe").load(text) or {}) for text in texts))


def _outputs(pipeline: dict[str, Any], lock: dict[str, Any]) -> dict[str, str]:
    """Paths and hashes in a dvc.lock of the outputs that DVC keeps by its dvc.yaml."""
    stages = pipeline.get("stages", {})
    uncached = {
        path
        for stage in stages.values()
        for kind in ("outs", "metrics", "plots")
        for out in stage.get(kind, ())
        if isinstance(out, dict)
        for path, options in out.items()
        if not options.get("cache", True)
    }
    return {
        str(out["path"]): str(out["md5"])
        for stage in lock.get("stages", {}).values()
        for out in stage.get("outs", ())
        if out["path"] not in uncached
    }


def read_committed(workspace: Workspace, version: Version, path: str) -> str:
    """A text file in the commit of a version.

    Raises:
        RuntimeError: the file is missing.
    """
    return git(workspace.root, "show", f"{version.name}:{path}")


def _yaml(workspace: Workspace, version: Version, path: str) -> dict[str, Any]:
    text = read_committed(workspace, version, path)
    return dict(YAML(typ="safe").load(text) or {})  # the C parser: there may be many versions
