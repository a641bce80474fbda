"""Warm start: `start.lock` pins the version that training starts from. It is a dependency of the train stage.

With `train.start_from: prod` each promotion changes the version, and every night would train again only because the
night before did. The version is therefore pinned, and renewed only if the train stage has another change.
"""

import json

from atelier.tasks.registry.resolve import resolve
from atelier.tasks.registry.tags import MODEL, find_prod, list_versions
from atelier.tasks.runtime.files import write
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.repository import dvc

SCRATCH = "scratch"


def pin_start(workspace: Workspace, start_from: str) -> str:
    """Pin the version that training starts from. The stages before training must be up to date.

    Args:
        workspace: of the training.
        start_from: value of `train.start_from`: "scratch", "prod" or a version; without a `prod` yet, "prod" means
            scratch.

    Returns:
        The version, or "scratch".

    Raises:
        ValueError: the version is not registered.
    """
    known = _read(workspace)
    if start_from == "prod" and known.get("start_from") == start_from and not _changed(workspace):
        return str(known["version"])
    version, bytes = SCRATCH, ""
    if start_from != SCRATCH:
        prod = find_prod(list_versions(workspace))
        if start_from != "prod" or prod:
            resolved = resolve(workspace.main, f"{MODEL}@{start_from}")
            version = resolved.version
            bytes = next(v.bytes for v in list_versions(workspace) if v.version == version)
    wanted = {"start_from": start_from, "version": version, "bytes": bytes}
    if wanted != known:
        write(workspace.start_lock, json.dumps(wanted, indent=1).encode() + b"\n")
    return version


def pinned_start(workspace: Workspace) -> str:
    """The pinned version, or "scratch".

    Raises:
        FileNotFoundError: no version is pinned.
    """
    known = _read(workspace)
    if "version" not in known:
        raise FileNotFoundError(f"{workspace.start_lock} is missing or damaged: `atelier train` writes it")
    return str(known["version"])


def _changed(workspace: Workspace) -> bool:
    """Whether the train stage has changes with the pinned version."""
    return bool(json.loads(dvc(workspace.root, "status", "train", "--json")))


def _read(workspace: Workspace) -> dict[str, str]:
    try:
        return dict(json.loads(workspace.start_lock.read_text()))
    except (OSError, ValueError, TypeError):
        return {}
