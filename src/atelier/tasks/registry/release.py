"""Releasing a trained model: gate, registration as a version, promotion to `prod`."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from atelier.models.card import ModelCard
from atelier.tasks.evaluation.gate import Decision, GateConfig, PairedComparison, gate
from atelier.tasks.evaluation.metric_catalogue import Metrics
from atelier.tasks.images.provenance import SOFTWARE, code_revision
from atelier.tasks.registry.promotion import ProdChanged, promote
from atelier.tasks.registry.resolve import training_command
from atelier.tasks.registry.tags import (
    MODEL,
    PROD,
    REGISTRY_WAIT_S,
    Version,
    add_version,
    find_prod,
    list_versions,
    version_key,
    was_assigned,
)
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock
from atelier.tasks.workspace.pipeline import commit
from atelier.tasks.workspace.run_record import PROD_CHANGED, REFUSED, WOULD_BE_REFUSED


@dataclass(frozen=True)
class ReleaseResult:
    """Outcome for a trained model."""

    model: str
    version: str  # "" with gate.mode dry
    style: str  # domain of the style
    previous: str | None  # version in `prod` before
    # "promoted" (by this call), "prod already", "passed" (may be promoted), "awaiting approval", "refused", "prod
    # changed meanwhile" or "registered" (was prod once); with gate.mode dry "would be promoted" or "would be refused"
    decision: str
    reasons: tuple[str, ...]
    new: bool  # whether this call registered it; False if these bytes had a version already
    compared: str = ""  # version in `prod` when the gate decided, "" for none: only this one is replaced


def find_registered(workspace: Workspace, made: Workspace, model: str = MODEL) -> Version | None:
    """The version of a trained model, or None if its bytes are not registered.

    Args:
        workspace: with the registry.
        made: where the model was trained: the workspace, or the worktree of its night.
        model: artifact name.

    Raises:
        FileNotFoundError: there is no model.
    """
    return _with_hash(list_versions(workspace, model), _dvc_hash(made, model))


def register_model(
    workspace: Workspace, made: Workspace, config: GateConfig, prod: PairedComparison | None, model: str = MODEL
) -> ReleaseResult:
    """Check a trained model with the gate, commit it and register it as a version; `promote` is the next step.

    A model whose bytes are registered already does not pass through the gate again, so that a version that was refused
    or rolled back is never promoted automatically.

    Args:
        workspace: with the registry.
        made: where the model was trained: the workspace, or the worktree of its night.
        config: the gate's thresholds.
        prod: the paired comparison with `prod`; None without one.
        model: artifact name, whose folder DVC tracks.

    Raises:
        FileNotFoundError: the model or its metrics are missing.
    """
    with lock(workspace, "registry", REGISTRY_WAIT_S):
        versions = list_versions(workspace, model)
        prod_now = find_prod(versions)
        previous = prod_now.version if prod_now else None
        version = _with_hash(versions, _dvc_hash(made, model))
        new, manual = version is None, config.mode == "manual"
        compared = prod.against if prod else previous or ""
        if version is None:
            decision = gate(_metrics(made, model), prod, config, first=prod_now is None)
            if config.mode == "dry":
                word = "would be promoted" if decision.passed else WOULD_BE_REFUSED
                style = ModelCard.read(made.model_folder(model)).style_domain
                return ReleaseResult(model, "", style, previous, word, decision.reasons, False)
            version = _register(workspace, made, model, decision, {"manual": manual, "compared": compared})
        word, reasons = _decision(workspace, version, manual)
        if version.stage == PROD:
            compared = version.version
        elif version.compared is not None:
            compared = version.compared
        return ReleaseResult(model, version.version, version.style, previous, word, reasons, new, compared)


def release_model(
    workspace: Workspace, config: GateConfig, prod: PairedComparison | None, model: str = MODEL
) -> ReleaseResult:
    """Register a model that was trained in the workspace, and promote it if it passes the gate.

    Arguments and errors as `register_model`.
    """
    found = register_model(workspace, workspace, config, prod, model)
    if found.decision != "passed":
        return found
    reason = "; ".join(found.reasons) or "passed the gate"
    try:
        promote(workspace, found.version, reason=reason, model=model, instead_of=found.compared)
    except ProdChanged as changed:
        return replace(found, decision=PROD_CHANGED, reasons=(str(changed),))
    return replace(found, decision="promoted")


def _decision(workspace: Workspace, version: Version, manual: bool) -> tuple[str, tuple[str, ...]]:
    """Decision and reasons for a registered version, which needs approval if the gate is or was manual."""
    if version.stage == PROD:
        return "prod already", version.reasons
    if not version.passed:
        return REFUSED, version.reasons
    name = version.version if version.model == MODEL else f"{version.model}@{version.version}"
    again = f"`atelier models promote {name}`"
    if was_assigned(workspace, version):
        once = "was prod once" if was_assigned(workspace, version, PROD) else "was rejected by a person"
        return "registered", (f"{version.version} {once}: {again} makes it prod all the same",)
    if manual or version.manual:
        approve = "`atelier models approve --reason …`" if version.model == MODEL else again
        return "awaiting approval", (
            *version.reasons,
            f"`atelier ui` shows it beside prod, to approve it or not; or {approve}",
        )
    return "passed", version.reasons  # new, or the process that registered it was killed before the promotion


def _register(workspace: Workspace, made: Workspace, model: str, decision: Decision, facts: dict[str, Any]) -> Version:
    versions = list_versions(workspace, model)
    latest = version_key(versions[0].version) if versions else None
    version = f"v{latest[0]}.{latest[1] + 1}.0" if latest else "v1.0.0"
    card = ModelCard.read(made.model_folder(model))
    entry = {
        "bytes": _dvc_hash(made, model),
        "style": card.style_domain,
        "dataset": card.dataset,
        "passed": decision.passed,
        **facts,
        "reasons": decision.reasons,
        "metrics": _metrics(made, model),
        "software": f"{SOFTWARE} {code_revision()}".strip(),
    }
    add_version(workspace, model, version, commit(made, f"{model} {version}"), entry)
    return next(v for v in list_versions(workspace, model) if v.version == version)


def _metrics(made: Workspace, model: str) -> Metrics:
    path = made.evaluation if model == MODEL else made.style_reports(model) / "evaluation.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: run `atelier evaluate`")
    content = json.loads(path.read_text())
    assert isinstance(content, dict)
    return content


def _dvc_hash(workspace: Workspace, model: str) -> str:
    """DVC's hash of the folder of a model, from dvc.lock or from the .dvc file beside the folder."""
    folder = workspace.model_folder(model)
    if model == MODEL:
        path = folder.relative_to(workspace.root).as_posix()
        stages = _read_yaml(workspace.dvc_lock).get("stages", {}).values()
        found = [out for stage in stages for out in stage.get("outs", []) if out["path"] == path]
    else:
        found = _read_yaml(folder.with_name(f"{folder.name}.dvc")).get("outs", [])
    if not found:
        raise FileNotFoundError(f"{workspace.root} has no {model} yet: run `{training_command(model)}`")
    return str(found[0]["md5"])


def _read_yaml(path: Path) -> dict[str, Any]:
    return dict(YAML(typ="safe", pure=True).load(path.read_text()) or {}) if path.is_file() else {}


def _with_hash(versions: list[Version], digest: str) -> Version | None:
    return next((v for v in versions if v.bytes == digest), None)
