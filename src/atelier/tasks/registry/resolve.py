"""Resolving the name of a model: to its registered version, and to a folder with its bytes."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atelier.tasks.registry.dvc_objects import open_objects
from atelier.tasks.registry.tags import (
    MODEL,
    PROD,
    REGISTRY_WAIT_S,
    Version,
    find_prod,
    get_version,
    list_versions,
    parse_name,
)
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock
from atelier.tasks.workspace.repository import git


@dataclass(frozen=True)
class ResolvedModel:
    """A registered version in a folder that does not change."""

    path: Path
    model: str
    version: str
    dataset: str


def version_commit(workspace: Workspace, model: str, version: str) -> str:
    """The commit of a version, whose DVC files name the model's bytes."""
    return git(workspace.root, "rev-parse", f"{model}@{version}^{{commit}}").strip()


def find_version(workspace: Workspace, name: str) -> Version:
    """The registered version of a name.

    Args:
        workspace: with the registry.
        name: `style-model@prod`, `style-model@v1.2.0` or the same of a style's own model; `prod` and `v1.2.0` alone
            mean those of `style-model`.

    Raises:
        ValueError: the version is not registered, or no version is `prod`.
    """
    model, wanted = parse_name(name) or (MODEL, name)
    versions = list_versions(workspace, model)
    if wanted != PROD:
        return get_version(versions, model, wanted)
    prod = find_prod(versions)
    if prod is None:
        raise ValueError(f"no version of {model} is prod yet in {workspace.root}: {_way_to_prod(model, versions)}")
    return prod


def _way_to_prod(model: str, versions: Sequence[Version]) -> str:
    """What its user can do about a model of which no version is `prod`."""
    if not versions:
        return f"`{training_command(model)}` makes one"
    newest = versions[0]
    number = newest.version if model == MODEL else newest.name
    promote = f'`atelier models promote {number} --reason "…"` makes it prod'
    if newest.passed:
        return f"{newest.version} passed the gate and waits for approval, {promote}"
    why = newest.reasons[0] if newest.reasons else "no reason is recorded"
    return f"the gate refused {newest.version} ({why}); name {newest.name} to use it as it is, or {promote}"


def resolve(workspace: Workspace, name: str) -> ResolvedModel:
    """The folder of a registered version. It never changes, so its users may go on during the next promotion.

    Args:
        workspace: with the registry.
        name: `style-model@prod`, `style-model@v1.2.0`, or the same of a style's own model.

    Raises:
        ValueError: the version is not registered, or no version is `prod`.
        RuntimeError: the bytes are missing in DVC's cache and in the remote.
    """
    if parse_name(name) is None:
        raise ValueError(f"{name!r} names no model: write {MODEL}@prod, or {MODEL}@v1.2.0")
    version = find_version(workspace, name)
    model = version.model
    folder = workspace.models / model / version.version
    if not folder.is_dir():
        with lock(workspace, f"{model}-{version.version}", REGISTRY_WAIT_S):
            if not folder.is_dir():
                _materialise(workspace, version, folder)
    return ResolvedModel(folder, model, version.version, version.dataset)


def _materialise(workspace: Workspace, version: Version, folder: Path) -> None:
    """Write the folder of a version, atomically, from DVC's cache or else from the remote."""
    draft = folder.with_name(f".{version.version}-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open_objects(workspace) as kept:
            kept.copy(version.bytes, draft)  # `dvc get` would use the settings of the version's own commit
        draft.replace(folder)
    except RuntimeError as error:
        raise RuntimeError(
            f"the bytes of {version.name} cannot be had: `atelier models push` them where they are ({error})"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def training_command(model: str) -> str:
    """The command that trains a model of this name."""
    return "atelier retrain" if model == MODEL else "atelier train --each-style"
