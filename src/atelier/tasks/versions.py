"""Versions of the models: judged, registered, promoted, and the folders that DVC keeps for them."""

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from atelier.tasks.gate import Decision, GateConfig, Metrics, gate
from atelier.tasks.lineage import SOFTWARE, code_revision
from atelier.tasks.objects import objects
from atelier.tasks.pipeline import commit
from atelier.tasks.processes import dvc
from atelier.tasks.registry import (
    MODEL,
    PROD,
    Version,
    add,
    assign,
    current,
    list_models,
    list_versions,
    model_of,
    named,
    of_name,
    order,
    was_staged,
)
from atelier.tasks.workspace import Workspace, lock

__all__ = ["MODEL", "Decision", "GateConfig", "Release", "ResolvedModel", "Version", "gate", "judge", "list_models"]
__all__ += ["find", "list_versions", "model_of", "named", "promote", "register", "release", "resolve"]

_WAIT_S = 60.0


@dataclass(frozen=True)
class ResolvedModel:
    """A model in a folder that does not change."""

    path: Path
    model: str
    version: str
    dataset: str


@dataclass(frozen=True)
class Release:
    """What became of a model that was trained."""

    model: str
    version: str
    style: str  # the domain whose style it learned
    previous: str | None  # the version that was `prod` before
    stage: str | None  # "prod" if this version is
    decision: str  # "promoted", "registered" (passed once, and is not prod now) or "refused"
    reasons: tuple[str, ...]
    new: bool  # registered by this call; False when these bytes had a version already
    previous_metrics: Metrics = field(repr=False)


def judge(workspace: Workspace, config: GateConfig, model: str = MODEL) -> Decision:
    """Hold a model's metrics against the thresholds and against its `prod`.

    Raises:
        FileNotFoundError: there are no metrics.
    """
    prod = current(list_versions(workspace, model))
    return gate(_metrics(workspace, model), prod.metrics if prod else None, config)


def release(workspace: Workspace, config: GateConfig, model: str = MODEL) -> Release:
    """Commit, judge and register a model that was trained, and make it `prod` if it passes.

    A model whose bytes have a version already is judged no second time: one that was refused or rolled back does not
    become `prod` by itself.

    Args:
        workspace: whose pipeline is up to date.
        config: the thresholds.
        model: its name; its folder is one that DVC keeps.

    Raises:
        FileNotFoundError: there is no model or no metrics.
    """
    with lock(workspace, "registry", _WAIT_S):
        versions = list_versions(workspace, model)
        prod = current(versions)
        known = _of_bytes(versions, _bytes(workspace, model))
        if known is None:
            decision = judge(workspace, config, model)
            known = _register(workspace, model, _metrics(workspace, model), decision, versions)
            new = True
        else:
            decision, new = Decision(known.passed, known.reasons), False

        def became(stage: str | None, word: str, reasons: tuple[str, ...]) -> Release:
            before = (prod.version if prod else None), (prod.metrics if prod else {})
            return Release(model, known.version, known.style, before[0], stage, word, reasons, new, before[1])

        if known.passed and (new or not was_staged(workspace, known)):  # or killed between the two steps
            assign(workspace, model, known.version, PROD, "; ".join(known.reasons) or "passed the gate")
            return became(PROD, "promoted", decision.reasons)
        if known.stage == PROD:
            return became(PROD, "promoted", decision.reasons)
        if not known.passed:
            return became(None, "refused", decision.reasons)
        name = known.version if model == MODEL else f"{model}@{known.version}"
        note = f"{known.version} was prod once: `atelier models promote {name}` makes it prod again"
        return became(None, "registered", (note,))


def register(workspace: Workspace, metrics: Metrics, decision: Decision, model: str = MODEL) -> str:
    """Give a model that was trained a version; the one it has already, if it has one.

    Args:
        workspace: whose DVC files name the model.
        metrics: what was measured of it.
        decision: what the gate says.
        model: its name.

    Raises:
        FileNotFoundError: there is no model.
    """
    with lock(workspace, "registry", _WAIT_S):
        versions = list_versions(workspace, model)
        known = _of_bytes(versions, _bytes(workspace, model))
        return (known or _register(workspace, model, metrics, decision, versions)).version


def promote(workspace: Workspace, version: str, stage: str = PROD, *, reason: str, model: str = MODEL) -> None:
    """Make a registered version the one of a stage, in one step: a tag. An older version is a rollback.

    Raises:
        ValueError: there is no such version.
    """
    with lock(workspace, "registry", _WAIT_S):
        of_name(list_versions(workspace, model), model, version)
        assign(workspace, model, version, stage, reason)


def find(workspace: Workspace, name: str) -> Version:
    """The registered version that a person means.

    Args:
        workspace: whose registry is asked.
        name: `style-model@prod`, `style-model@v1.2.0`; `prod` and `v1.2.0` are those of the pipeline's model.

    Raises:
        ValueError: there is no such version, or none is prod.
    """
    model, wanted = named(name) or (MODEL, name)
    versions = list_versions(workspace, model)
    if wanted != PROD:
        return of_name(versions, model, wanted)
    prod = current(versions)
    if prod is None:
        raise ValueError(f"no version of {model} is prod yet in {workspace.root}: `{_maker(model)}` makes one")
    return prod


def resolve(workspace: Workspace, name: str) -> ResolvedModel:
    """The folder of a registered version, which never changes: what uses it may go on while the next one is promoted.

    Args:
        workspace: whose registry is asked.
        name: `style-model@prod`, `style-model@v1.2.0`, or the same of a style's own model.

    Raises:
        ValueError: there is no such version, or none is prod.
        RuntimeError: DVC does not have its bytes.
    """
    if named(name) is None:
        raise ValueError(f"{name!r} names no model: write {MODEL}@prod, or {MODEL}@v1.2.0")
    version = find(workspace, name)
    model = version.model
    folder = workspace.models / model / version.version
    if not folder.is_dir():
        with lock(workspace, f"{model}-{version.version}", _WAIT_S):
            if not folder.is_dir():
                _materialise(workspace, version, folder)
    return ResolvedModel(folder, model, version.version, version.dataset)


def _materialise(workspace: Workspace, version: Version, folder: Path) -> None:
    """Have DVC write a version's folder, complete or not at all; what is not in the cache comes from the remote."""
    draft = folder.with_name(f".{version.version}-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = workspace.model_folder(version.model).relative_to(workspace.root).as_posix()
    try:
        with objects(workspace) as kept:
            kept.fetch(version.bytes)  # by the remote of today: DVC would ask that of the version's own commit
        dvc(workspace.root, "get", "--quiet", ".", path, "--rev", version.name, "--out", str(draft))
        draft.replace(folder)
    except RuntimeError as error:
        raise RuntimeError(
            f"the bytes of {version.name} cannot be had: `atelier models push` them where they are ({error})"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _register(
    workspace: Workspace, model: str, metrics: Metrics, decision: Decision, versions: list[Version]
) -> Version:
    latest = order(versions[0].version) if versions else None
    version = f"v{latest[0]}.{latest[1] + 1}.0" if latest else "v1.0.0"
    facts = json.loads((workspace.model_folder(model) / "model.json").read_text())
    entry = {
        "bytes": _bytes(workspace, model),
        "style": facts.get("style_domain", ""),
        "dataset": facts.get("dataset", ""),
        "passed": decision.passed,
        "reasons": decision.reasons,
        "metrics": metrics,
        "software": f"{SOFTWARE} {code_revision()}".strip(),
    }
    commit(workspace, f"{model} {version}")
    add(workspace, model, version, entry)
    return next(v for v in list_versions(workspace, model) if v.version == version)


def _metrics(workspace: Workspace, model: str) -> Metrics:
    path = workspace.evaluation if model == MODEL else workspace.style_reports(model) / "evaluation.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: run `atelier evaluate`")
    content = json.loads(path.read_text())
    assert isinstance(content, dict)
    return content


def _bytes(workspace: Workspace, model: str) -> str:
    """DVC's hash of the folder of a model: in the pipeline's lock, or in the file beside the folder."""
    folder = workspace.model_folder(model)
    if model == MODEL:
        path = folder.relative_to(workspace.root).as_posix()
        stages = _read_yaml(workspace.dvc_lock).get("stages", {}).values()
        found = [out for stage in stages for out in stage.get("outs", []) if out["path"] == path]
    else:
        found = _read_yaml(folder.with_name(f"{folder.name}.dvc")).get("outs", [])
    if not found:
        raise FileNotFoundError(f"{workspace.root} has no {model} yet: run `{_maker(model)}`")
    return str(found[0]["md5"])


def _maker(model: str) -> str:
    """The command that makes a model of this name."""
    return "atelier retrain" if model == MODEL else "atelier train --each-style"


def _read_yaml(path: Path) -> dict[str, Any]:
    return dict(YAML(typ="safe", pure=True).load(path.read_text()) or {}) if path.is_file() else {}


def _of_bytes(versions: list[Version], digest: str) -> Version | None:
    return next((v for v in versions if v.bytes == digest), None)
