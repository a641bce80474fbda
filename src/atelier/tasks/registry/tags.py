"""The registry: GTO tags in the workspace's git.

The pipeline's model is `style-model`; one that was trained for a style beside others is `style-model-STYLE`, with
versions and a `prod` of its own. A version is an annotated tag `style-model@v1.2.0` on the commit whose DVC files name
the model's bytes; its message is the registry entry (style, metrics, dataset, the gate's decision) as JSON, so an entry
can not be lost or changed apart from its version and travels with `git push --tags`. A stage is a tag
`style-model#prod#7`, the latest of which counts.
"""

import json
import re
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from atelier.tasks.evaluation.metrics import HEADLINE, Metrics, value
from atelier.tasks.runtime.processes import git
from atelier.tasks.workspace.layout import Workspace

MODEL = "style-model"  # the pipeline's; of its own style each, MODEL-STYLE
PROD = "prod"
REGISTRY_WAIT_S = 60.0  # for the registry's lock

_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)$")


@dataclass(frozen=True)
class Version:
    """A registered version."""

    model: str  # "style-model", or "style-model-STYLE"
    version: str
    stage: str | None  # "prod" if it is
    style: str  # the domain whose style it learned
    dataset: str  # id of the dataset it was trained from
    registered: str  # when, ISO 8601
    passed: bool  # what the gate said when it was registered
    manual: bool  # a person must approve it
    reasons: tuple[str, ...]
    metrics: Metrics = field(repr=False)
    bytes: str = field(repr=False)  # DVC's hash of the model's folder
    software: str = ""  # what registered it, with its revision

    @property
    def name(self) -> str:
        """As a person writes it, and as its tag is called: `style-model@v1.2.0`."""
        return f"{self.model}@{self.version}"

    @property
    def headline(self) -> str:
        """The most important numbers in one line."""
        found = [(one.label, value(self.metrics, one.key)) for one in HEADLINE]
        return ", ".join(f"{label} {number:.3g}" for label, number in found if not isnan(number)) or "no metrics"


@dataclass(frozen=True)
class StageAssignment:
    """One time that a version was made the one of a stage."""

    version: str
    when: str  # ISO 8601
    reason: str


def style_model_name(style: str) -> str:
    """The name of the model of a style that was trained beside others.

    Raises:
        ValueError: the registry could not hold the name.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]*[A-Za-z0-9]", style):
        raise ValueError(f"domain {style!r} cannot be a model's name: it must end with a letter or a digit")
    return f"{MODEL}-{style}"


def parse_name(name: str) -> tuple[str, str] | None:
    """Model and version (or stage) of what a person writes as `style-model@prod`; None where it is no such name."""
    model, at, wanted = name.partition("@")
    ours = model == MODEL or model.startswith(f"{MODEL}-")
    return (model, wanted) if ours and at and wanted and "/" not in name else None


def list_models(workspace: Workspace) -> list[str]:
    """Names of the models that have versions, the pipeline's first."""
    tags = (name.partition("@") for name, _, _ in _tags(workspace, f"{MODEL}*@v*"))
    return sorted({model for model, _, version in tags if _VERSION.match(version) and parse_name(f"{model}@{version}")})


def list_versions(workspace: Workspace, model: str = MODEL) -> list[Version]:
    """The registered versions of a model, the newest first."""
    prod = _staged(workspace, model, PROD)
    found = []
    for name, date, message in _tags(workspace, f"{model}@*"):
        version = name.removeprefix(f"{model}@")
        if not _VERSION.match(version):
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
            )
        )
    return sorted(found, key=lambda v: version_key(v.version), reverse=True)


def find_prod(versions: list[Version]) -> Version | None:
    """The one that is `prod`."""
    return next((v for v in versions if v.stage == PROD), None)


def get_version(versions: list[Version], model: str, version: str) -> Version:
    """The version of that name.

    Raises:
        ValueError: there is none.
    """
    for one in versions:
        if one.version == version:
            return one
    known = ", ".join(v.version for v in versions) or "none"
    raise ValueError(f"there is no version {version!r} of {model}: there are {known}")


def version_key(version: str) -> tuple[int, int, int]:
    """The numbers of a version, which sort."""
    match = _VERSION.match(version)
    assert match is not None
    return int(match[1]), int(match[2]), int(match[3])


def add_version(workspace: Workspace, model: str, version: str, commit: str, entry: dict[str, Any]) -> None:
    """Tag a commit as a version."""
    import gto.api

    gto.api.register(str(workspace.root), model, commit, version=version, message=json.dumps(entry, sort_keys=True))


def assign_stage(workspace: Workspace, model: str, version: str, stage: str, reason: str) -> None:
    """Make a version the one of a stage."""
    import gto.api

    message = json.dumps({"version": version, "reason": reason})
    gto.api.assign(
        str(workspace.root), model, stage, version=version, message=message, force=True, skip_registration=True
    )


def stage_history(workspace: Workspace, model: str, stage: str = PROD) -> list[StageAssignment]:
    """Every time that a version of a model was made the one of a stage, the last of which counts."""
    tags = [
        (int(name.rpartition("#")[2]), when, message) for name, when, message in _tags(workspace, f"{model}#{stage}#*")
    ]
    entries = [(when, _entry(message)) for _, when, message in sorted(tags)]
    return [StageAssignment(str(entry.get("version")), when, str(entry.get("reason", ""))) for when, entry in entries]


def _staged(workspace: Workspace, model: str, stage: str) -> str | None:
    """The version of a stage."""
    stagings = stage_history(workspace, model, stage)
    return stagings[-1].version if stagings else None


def was_assigned(workspace: Workspace, version: Version) -> bool:
    """Whether it is or was the one of any stage."""
    tags = _tags(workspace, f"{version.model}#*")
    return any(_entry(message).get("version") == version.version for _, _, message in tags)


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
