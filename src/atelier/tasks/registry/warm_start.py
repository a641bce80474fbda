"""`start.lock`: the version that training starts from, as the pipeline's train stage depends on it.

`train.start_from: prod` means another version after each promotion. Were that followed, every night would train again
because the one before did; so it is pinned, and looked up anew only when there is something else to learn.
"""

import json

from atelier.tasks.registry.resolve import resolve
from atelier.tasks.registry.tags import MODEL, find_prod, list_versions
from atelier.tasks.runtime.files import write
from atelier.tasks.runtime.processes import dvc
from atelier.tasks.workspace.layout import Workspace

SCRATCH = "scratch"


def pin_start(workspace: Workspace, start_from: str) -> str:
    """Note which version training starts from; what comes before training must be up to date.

    Args:
        workspace: where it is trained.
        start_from: "scratch", "prod" or a version, as `train.start_from` has it; without a `prod` yet, from scratch.

    Returns:
        The version, or "scratch".

    Raises:
        ValueError: there is no such version.
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
    """The version that was noted, or "scratch".

    Raises:
        FileNotFoundError: none was.
    """
    known = _read(workspace)
    if "version" not in known:
        raise FileNotFoundError(f"{workspace.start_lock} is missing or damaged: `atelier train` writes it")
    return str(known["version"])


def _changed(workspace: Workspace) -> bool:
    """Whether training has something to do with what is pinned."""
    return bool(json.loads(dvc(workspace.root, "status", "train", "--json")))


def _read(workspace: Workspace) -> dict[str, str]:
    try:
        return dict(json.loads(workspace.start_lock.read_text()))
    except (OSError, ValueError, TypeError):
        return {}
