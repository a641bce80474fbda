"""The model registry: versions and stages as GTO tags in the workspace's git.

The artifact of the pipeline is `style-model`. A model that is trained for one of several styles is the artifact
`style-model-STYLE`, with its own versions and its own `prod`. A version is an annotated tag `style-model@v1.2.0` on the
commit whose DVC files name the model's bytes. Its message is the registry entry as JSON (style, metrics, dataset, the
gate's decision), so an entry is never separated from its version and travels with `git push --tags`. A stage assignment
is a tag `style-model#prod#7`; the latest one counts.
"""

import json
import re
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from atelier.tasks.evaluation.metric_catalogue import COVERAGE, FRECHET, HEADLINE, MEMORISED, Metrics, value
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.repository import git

MODEL = "style-model"  # artifact of the pipeline; of one of several styles, MODEL-STYLE
PROD = "prod"
REJECTED = "rejected"  # stage of versions that passed the gate, and that a person did not approve
REGISTRY_WAIT_S = 60.0  # timeout of the registry's lock

VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)$")


@dataclass(frozen=True)
class Version:
    """A registered version."""

    model: str  # "style-model", or "style-model-STYLE"
    version: str
    stage: str | None  # "prod" or None
    style: str  # domain of the style
    dataset: str  # id of the training dataset
    registered: str  # date and time, ISO 8601
    passed: bool  # decision of the gate at registration
    manual: bool  # promotion needs approval by a person
    reasons: tuple[str, ...]
    metrics: Metrics = field(repr=False)
    bytes: str = field(repr=False)  # DVC's hash of the model's folder
    software: str = ""  # that registered it, with its revision
    compared: str | None = None  # version that was prod when the gate decided, "" for none; None: not recorded

    @property
    def name(self) -> str:
        """Name of the version and of its tag: `style-model@v1.2.0`."""
        return f"{self.model}@{self.version}"

    @property
    def headline(self) -> str:
        """The most important metrics in one line."""
        generates = self.metrics.get("kind") == "generates"
        shown = (FRECHET, COVERAGE, MEMORISED) if generates else HEADLINE
        found = [(one.label, value(self.metrics, one.key)) for one in shown]
        return ", ".join(f"{label} {number:.3g}" for label, number in found if not isnan(number)) or "no metrics"


@dataclass(frozen=True)
class StageAssignment:
    """One assignment of a version to a stage."""

    version: str
    when: str  # date and time, ISO 8601
    reason: str


def style_model_name(style: str) -> str:
    """Artifact name of the model of one of several styles.

    Raises:
        ValueError: the style does not fit into a tag name.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]*[A-Za-z0-9]", style):
        raise ValueError(f"domain {style!r} cannot be a model's name: it must end with a letter or a digit")
    return f"{MODEL}-{style}"


def parse_name(name: str) -> tuple[str, str] | None:
    """Artifact and version (or stage) of a name like `style-model@prod`; None for other texts."""
    model, at, wanted = name.partition("@")
    known = model == MODEL or model.startswith(f"{MODEL}-")
    return (model, wanted) if known and at and wanted and "/" not in name else None


def list_models(workspace: Workspace) -> list[str]:
    """Artifacts that have versions, the pipeline's first."""
    tags = (name.partition("@") for name, _, _ in _tags(workspace, f"{MODEL}*@v*"))
    return sorted({model for model, _, version in tags if VERSION.match(version) and parse_name(f"{model}@{version}")})


def list_versions(workspace: Workspace, model: str = MODEL) -> list[Version]:
    """The registered versions of an artifact, the newest first."""
    prod = _version_in_stage(workspace, model, PROD)
    found = []
    for name, date, message in _tags(workspace, f"{model}@*"):
        version = name.removeprefix(f"{model}@")
        if not VERSION.match(version):
            continue
        entry = _entry(message)
        found.append(
            Version(
                model,
                version,
                PROD if version == prod else None,
                str(entry.get("style", "")),
                str(entry.get("dataset", "")),
                date,
                bool(entry.get("passed", False)),
                bool(entry.get("manual", False)),
                tuple(entry.get("reasons", ())),
                entry.get("metrics", {}),
                str(entry.get("bytes", "")),
                str(entry.get("software", "")),
                entry.get("compared"),
            )
        )
    return sorted(found, key=lambda v: version_key(v.version), reverse=True)


def find_prod(versions: list[Version]) -> Version | None:
    """The version in stage `prod`, or None."""
    return next((v for v in versions if v.stage == PROD), None)


def get_version(versions: list[Version], model: str, version: str) -> Version:
    """The version with this number.

    Raises:
        ValueError: it is not registered.
    """
    for one in versions:
        if one.version == version:
            return one
    newest = ", ".join(v.version for v in versions[:5]) or "none yet"
    rest = f" and {len(versions) - 5} older ones" if len(versions) > 5 else ""
    raise ValueError(f"there is no version {version!r} of {model}: there are {newest}{rest}")


def version_key(version: str) -> tuple[int, int, int]:
    """Sort key of a version: major, minor, patch."""
    match = VERSION.match(version)
    assert match is not None
    return int(match[1]), int(match[2]), int(match[3])


def add_version(workspace: Workspace, model: str, version: str, commit: str, entry: dict[str, Any]) -> None:
    """Register a commit as a version."""
    import gto.api

    gto.api.register(str(workspace.root), model, commit, version=version, message=json.dumps(entry, sort_keys=True))


def assign_stage(workspace: Workspace, model: str, version: str, stage: str, reason: str) -> None:
    """Assign a version to a stage."""
    import gto.api

    message = json.dumps({"version": version, "reason": reason})
    gto.api.assign(
        str(workspace.root), model, stage, version=version, message=message, force=True, skip_registration=True
    )


def stage_history(workspace: Workspace, model: str, stage: str = PROD) -> list[StageAssignment]:
    """All assignments to a stage, the current one last."""
    tags = [
        (int(name.rpartition("#")[2]), when, message) for name, when, message in _tags(workspace, f"{model}#{stage}#*")
    ]
    entries = [(when, _entry(message)) for _, when, message in sorted(tags)]
    return [StageAssignment(str(entry.get("version")), when, str(entry.get("reason", ""))) for when, entry in entries]


def _version_in_stage(workspace: Workspace, model: str, stage: str) -> str | None:
    """The version in a stage, or None."""
    assignments = stage_history(workspace, model, stage)
    return assignments[-1].version if assignments else None


def was_assigned(workspace: Workspace, version: Version, stage: str = "*") -> bool:
    """Whether a version is or was in a stage; "*" means any."""
    tags = _tags(workspace, f"{version.model}#{stage}*")
    return any(_entry(message).get("version") == version.version for _, _, message in tags)


def _tags(workspace: Workspace, pattern: str) -> list[tuple[str, str, str]]:
    """Name, date and message of the tags that match a pattern."""
    form = "%(refname:strip=2)%00%(taggerdate:iso-strict)%00%(contents)%00%01"
    listed = git(workspace.root, "for-each-ref", f"--format={form}", f"refs/tags/{pattern}")
    rows = [row.lstrip("\n").split("\0") for row in listed.split("\x01")]
    return [(row[0], row[1], row[2]) for row in rows if len(row) >= 3]


def _entry(message: str) -> dict[str, Any]:
    """The registry entry in a tag's message; empty for a tag that atelier did not write."""
    try:
        entry = json.loads(message)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
