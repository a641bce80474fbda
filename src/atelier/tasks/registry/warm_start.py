"""Warm start: `start.lock` pins the model that training starts from. It is a dependency of the train stage.

With `train.start_from: prod` each promotion changes the version, and every night would train again only because the
night before did. The version is therefore pinned, and renewed only if the train stage has another change. A starter
model is pinned by its weights: those of another version of the package are another start.
"""

import json
from pathlib import Path

from atelier.models.card import weights_sha256
from atelier.tasks.registry.base_models import check_fit
from atelier.tasks.registry.resolve import resolve
from atelier.tasks.registry.starter_models import find_starter
from atelier.tasks.registry.tags import MODEL, find_prod, list_versions
from atelier.tasks.runtime.files import write
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.repository import dvc

SCRATCH = "scratch"
_EXPERIMENTS = (".dvc", "tmp", "exps")  # DVC's folder of experiments


def pin_start(workspace: Workspace, config: TrainConfig) -> str:
    """Pin the model that training starts from. The stages before training must be up to date.

    Args:
        workspace: of the training.
        config: its `start_from` is "scratch", "prod", a version or "starter/NAME"; without a `prod` yet, "prod" means
            scratch.

    Returns:
        The version, "starter/NAME" or "scratch".

    Raises:
        ValueError: there is no such model.
    """
    start_from, known = config.start_from, _read(workspace)
    if start_from == "prod" and known.get("start_from") == start_from and not _changed(workspace):
        return str(known["version"])
    version, bytes = SCRATCH, ""
    if starter := find_starter(start_from):
        version, bytes = start_from, weights_sha256(starter)
    elif start_from != SCRATCH:
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
    """The pinned version, "starter/NAME" or "scratch".

    Raises:
        FileNotFoundError: no version is pinned.
        ValueError: the pinned starter model has other weights than the installed one.
    """
    known = _read(workspace)
    if "version" not in known:
        raise FileNotFoundError(f"{workspace.start_lock} is missing or damaged: `atelier train` writes it")
    version = str(known["version"])
    if (starter := find_starter(version)) and weights_sha256(starter) != known.get("bytes"):
        raise ValueError(
            f"{workspace.start_lock} pins a {version} of other weights than this version of Atelier has: `atelier "
            "train` pins the installed one and trains again"
        )
    return version


def initial_model(workspace: Workspace, config: TrainConfig) -> Path | None:
    """The folder of the model that `config.start_from` names, a pinned version or a starter; None for "scratch".

    Raises:
        ValueError: there is no such model, or its generator has another architecture than that of `config`.
    """
    if config.start_from == SCRATCH:
        return None
    folder = find_starter(config.start_from) or resolve(_registry(workspace), f"{MODEL}@{config.start_from}").path
    check_fit(config, folder)
    return folder


def _registry(workspace: Workspace) -> Workspace:
    """The workspace with the registry: an experiment of DVC's queue runs in a clone below it, which has no tags."""
    below = (folder for folder in workspace.root.parents if folder.parts[-3:] == _EXPERIMENTS)
    return next((Workspace(folder.parents[2]) for folder in below), workspace.main)


def _changed(workspace: Workspace) -> bool:
    """Whether the train stage has changes with the pinned version."""
    return bool(json.loads(dvc(workspace.root, "status", "train", "--json")))


def _read(workspace: Workspace) -> dict[str, str]:
    try:
        return dict(json.loads(workspace.start_lock.read_text()))
    except (OSError, ValueError, TypeError):
        return {}
