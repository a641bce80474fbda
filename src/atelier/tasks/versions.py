"""Versions of the model: GTO tags in the workspace's git, and the folders that DVC keeps for them.

A version is an annotated tag `style-model@v1.2.0` on the commit whose dvc.lock names the model's bytes; its message is
the registry entry (metrics, dataset, the gate's decision) as JSON, so an entry can not be lost or changed apart from
its version and travels with `git push --tags`. A stage is a tag `style-model#prod#7`, the latest of which counts.
"""

import json
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from atelier.tasks.gate import Decision, GateConfig, Metrics, gate, value
from atelier.tasks.pipeline import commit
from atelier.tasks.processes import dvc, git
from atelier.tasks.workspace import Workspace, lock

__all__ = ["MODEL", "Decision", "GateConfig", "Release", "ResolvedModel", "Version", "gate", "judge", "list_versions"]
__all__ += ["promote", "register", "release", "resolve"]

MODEL = "style-model"
PROD = "prod"

_WAIT_S = 60.0
_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)$")


@dataclass(frozen=True)
class Version:
    """A registered version."""

    version: str
    stage: str | None  # "prod" if it is
    dataset: str  # id of the dataset it was trained from
    registered: str  # when, ISO 8601
    passed: bool  # what the gate said when it was registered
    reasons: tuple[str, ...]
    metrics: Metrics = field(repr=False)
    bytes: str = field(repr=False)  # DVC's hash of the model's folder

    @property
    def headline(self) -> str:
        """The most important numbers in one line."""
        parts = [
            f"{name} {value(self.metrics, key):.3g}"
            for name, key in _HEADLINE
            if value(self.metrics, key) == value(self.metrics, key)
        ]
        return ", ".join(parts) or "no metrics"


_HEADLINE = (("KID ratio", "kid.ratio"), ("style ratio", "style.ratio"), ("SSIM", "ssim.mean"))


@dataclass(frozen=True)
class ResolvedModel:
    """A model in a folder that does not change."""

    path: Path
    version: str
    dataset: str


@dataclass(frozen=True)
class Release:
    """What became of the model that the pipeline made."""

    version: str
    previous: str | None  # the version that was `prod` before
    stage: str | None  # "prod" if this version is
    decision: str  # "promoted", "registered" (passed once, and is not prod now) or "refused"
    reasons: tuple[str, ...]
    new: bool  # registered by this call; False when these bytes had a version already
    previous_metrics: Metrics = field(repr=False)


def judge(workspace: Workspace, config: GateConfig) -> Decision:
    """Hold `reports/evaluation.json` against the thresholds and against `prod`.

    Raises:
        FileNotFoundError: there are no metrics.
    """
    prod = _current(list_versions(workspace))
    return gate(_metrics(workspace), prod.metrics if prod else None, config)


def release(workspace: Workspace, config: GateConfig) -> Release:
    """Commit, judge and register the model that the pipeline made, and make it `prod` if it passes.

    A model whose bytes have a version already is judged no second time: one that was refused or rolled back does not
    become `prod` by itself.

    Args:
        workspace: whose pipeline is up to date.
        config: the thresholds.

    Raises:
        FileNotFoundError: there is no model or no metrics.
    """
    with lock(workspace, "registry", _WAIT_S):
        versions = list_versions(workspace)
        prod = _current(versions)
        known = _of_bytes(versions, _bytes(workspace))
        before = (prod.version if prod else None, prod.metrics if prod else {})
        if known is None:
            decision = judge(workspace, config)
            known = _register(workspace, _metrics(workspace), decision, versions)
            new = True
        else:
            decision, new = Decision(known.passed, known.reasons), False
        if known.passed and (new or not _was_staged(workspace, known.version)):  # or killed between the two steps
            _assign(workspace, known.version, PROD, "; ".join(known.reasons) or "passed the gate")
            return Release(known.version, before[0], PROD, "promoted", decision.reasons, new, before[1])
        if known.stage == PROD:
            return Release(known.version, before[0], PROD, "promoted", decision.reasons, new, before[1])
        if not known.passed:
            return Release(known.version, before[0], None, "refused", decision.reasons, new, before[1])
        note = f"{known.version} was prod once: `atelier models promote {known.version}` makes it prod again"
        return Release(known.version, before[0], None, "registered", (note,), new, before[1])


def register(workspace: Workspace, metrics: Metrics, decision: Decision) -> str:
    """Give the model that the pipeline made a version; the one it has already, if it has one.

    Args:
        workspace: whose dvc.lock names the model.
        metrics: its `reports/evaluation.json`.
        decision: what the gate says.

    Raises:
        FileNotFoundError: there is no model.
    """
    with lock(workspace, "registry", _WAIT_S):
        versions = list_versions(workspace)
        known = _of_bytes(versions, _bytes(workspace))
        return (known or _register(workspace, metrics, decision, versions)).version


def promote(workspace: Workspace, version: str, stage: str = PROD, *, reason: str) -> None:
    """Make a registered version the one of a stage, in one step: a tag. An older version is a rollback.

    Raises:
        ValueError: there is no such version.
    """
    with lock(workspace, "registry", _WAIT_S):
        _named(list_versions(workspace), version)
        _assign(workspace, version, stage, reason)


def list_versions(workspace: Workspace) -> list[Version]:
    """The registered versions, the newest first."""
    prod = _staged(workspace, PROD)
    found = []
    for name, date, message in _tags(workspace, f"{MODEL}@*"):
        version = name.removeprefix(f"{MODEL}@")
        if not _VERSION.match(version):
            continue
        entry = _entry(message)
        found.append(
            Version(
                version,
                PROD if version == prod else None,
                str(entry.get("dataset", "")),
                date,
                bool(entry.get("passed", False)),
                tuple(entry.get("reasons", ())),
                entry.get("metrics", {}),
                str(entry.get("bytes", "")),
            )
        )
    return sorted(found, key=lambda v: _order(v.version), reverse=True)


def resolve(workspace: Workspace, name: str) -> ResolvedModel:
    """The folder of a registered version, which never changes: what uses it may go on while the next one is promoted.

    Args:
        workspace: whose registry is asked.
        name: `style-model@prod` or `style-model@v1.2.0`.

    Raises:
        ValueError: there is no such version, or none is prod.
        RuntimeError: DVC does not have its bytes.
    """
    versions = list_versions(workspace)
    model, _, wanted = name.partition("@")
    if model != MODEL or not wanted:
        raise ValueError(f"{name!r} names no model: write {MODEL}@prod, or {MODEL}@v1.2.0")
    if wanted == PROD:
        current = _current(versions)
        if current is None:
            raise ValueError(f"no version is prod yet in {workspace.root}: `atelier retrain` makes one")
        wanted = current.version
    version = _named(versions, wanted)
    folder = workspace.models / version.version
    if not folder.is_dir():
        with lock(workspace, f"model-{version.version}", _WAIT_S):
            if not folder.is_dir():
                _materialise(workspace, version.version, folder)
    return ResolvedModel(folder, version.version, version.dataset)


def _materialise(workspace: Workspace, version: str, folder: Path) -> None:
    """Have DVC write a version's folder, complete or not at all."""
    draft = folder.with_name(f".{version}-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = workspace.model.relative_to(workspace.root).as_posix()
    try:
        dvc(workspace.root, "get", "--quiet", ".", path, "--rev", f"{MODEL}@{version}", "--out", str(draft))
        draft.replace(folder)
    except RuntimeError as error:
        raise RuntimeError(
            f"the bytes of {MODEL}@{version} are not in DVC's cache: `dvc pull` them ({error})"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _register(workspace: Workspace, metrics: Metrics, decision: Decision, versions: list[Version]) -> Version:
    import gto.api

    latest = _order(versions[0].version) if versions else None
    version = f"v{latest[0]}.{latest[1] + 1}.0" if latest else "v1.0.0"
    entry = {
        "bytes": _bytes(workspace),
        "dataset": json.loads((workspace.model / "model.json").read_text()).get("dataset", ""),
        "passed": decision.passed,
        "reasons": decision.reasons,
        "metrics": metrics,
    }
    commit(workspace, f"{MODEL} {version}")
    gto.api.register(str(workspace.root), MODEL, "HEAD", version=version, message=json.dumps(entry, sort_keys=True))
    return next(v for v in list_versions(workspace) if v.version == version)


def _assign(workspace: Workspace, version: str, stage: str, reason: str) -> None:
    import gto.api

    message = json.dumps({"version": version, "reason": reason})
    gto.api.assign(
        str(workspace.root), MODEL, stage, version=version, message=message, force=True, skip_registration=True
    )


def _staged(workspace: Workspace, stage: str) -> str | None:
    """The version of a stage: that of its tag with the highest number."""
    tags = [(int(name.rpartition("#")[2]), message) for name, _, message in _tags(workspace, f"{MODEL}#{stage}#*")]
    return str(_entry(max(tags)[1]).get("version")) if tags else None


def _was_staged(workspace: Workspace, version: str) -> bool:
    return any(_entry(message).get("version") == version for _, _, message in _tags(workspace, f"{MODEL}#*"))


def _tags(workspace: Workspace, pattern: str) -> list[tuple[str, str, str]]:
    """Name, date and message of the tags that match."""
    form = "%(refname:strip=2)%00%(taggerdate:iso-strict)%00%(contents)%00%01"
    listed = git(workspace.root, "for-each-ref", f"--format={form}", f"refs/tags/{pattern}")
    rows = [row.lstrip("\n").split("\0") for row in listed.split("\x01")]
    return [(row[0], row[1], row[2]) for row in rows if len(row) >= 3]


def _entry(message: str) -> dict[str, Any]:
    """The registry entry in a tag's message; empty for a tag that somebody else made."""
    try:
        entry = json.loads(message)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _metrics(workspace: Workspace) -> Metrics:
    if not workspace.evaluation.is_file():
        raise FileNotFoundError(f"{workspace.evaluation} does not exist: run `atelier evaluate`")
    content = json.loads(workspace.evaluation.read_text())
    assert isinstance(content, dict)
    return content


def _bytes(workspace: Workspace) -> str:
    """DVC's hash of the folder of the model that the pipeline made."""
    path = workspace.model.relative_to(workspace.root).as_posix()
    if workspace.dvc_lock.is_file():
        content = YAML(typ="safe", pure=True).load(workspace.dvc_lock.read_text()) or {}
        for stage in content.get("stages", {}).values():
            for out in stage.get("outs", []):
                if out["path"] == path:
                    return str(out["md5"])
    raise FileNotFoundError(f"{workspace.root} has no model yet: run `atelier retrain`")


def _current(versions: list[Version]) -> Version | None:
    return next((v for v in versions if v.stage == PROD), None)


def _of_bytes(versions: list[Version], digest: str) -> Version | None:
    return next((v for v in versions if v.bytes == digest), None)


def _named(versions: list[Version], version: str) -> Version:
    for one in versions:
        if one.version == version:
            return one
    known = ", ".join(v.version for v in versions) or "none"
    raise ValueError(f"there is no version {version!r} of {MODEL}: there are {known}")


def _order(version: str) -> tuple[int, int, int]:
    match = _VERSION.match(version)
    assert match is not None
    return int(match[1]), int(match[2]), int(match[3])
