"""Details of a registered version: registry entry, history, commit and model card."""

from dataclasses import asdict, dataclass
from typing import Any

from atelier.models.card import MODEL_CARD, ModelCard
from atelier.tasks.evaluation.metric_catalogue import GATED, flat
from atelier.tasks.registry.dvc_objects import DvcObjects, read_committed
from atelier.tasks.registry.tags import REJECTED, StageAssignment, Version, list_models, list_versions, stage_history
from atelier.tasks.registry.version_state import version_state
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.repository import git

_FIRST = tuple(f"{one.section}." for one in GATED)


@dataclass(frozen=True)
class ListedVersion:
    """A version as the list of models shows it."""

    version: Version
    state: str  # of `version_state.STATES`
    here: bool  # whether its bytes are on this machine
    history: tuple[StageAssignment, ...]  # its assignments to prod

    @property
    def as_dict(self) -> dict[str, Any]:
        """JSON object: the registry entry and the fields above."""
        return asdict(self.version) | {
            "state": self.state,
            "here": self.here,
            "history": [asdict(one) for one in self.history],
        }


@dataclass(frozen=True)
class VersionDetails:
    """A version with all its details."""

    listed: ListedVersion
    commit: str  # git commit of the workspace
    formats: dict[str, str]  # format version of each step
    facts: dict[str, Any]  # content of the model card; empty if its bytes are missing

    @property
    def as_dict(self) -> dict[str, Any]:
        """JSON object."""
        return self.listed.as_dict | {"commit": self.commit, "formats": self.formats, "facts": self.facts}

    @property
    def summary(self) -> str:
        """The details in a few lines."""
        one = self.listed.version
        steps = ", ".join(f"{step} {number}" for step, number in self.formats.items())
        passed = "passed" if one.passed else "refused"
        lines = [f"{one.name}, {self.listed.state}"]
        lines += [] if self.facts else ["  its bytes are missing: `atelier models verify` tells more"]
        lines += [f"  registered   {one.registered}{f' by {one.software}' if one.software else ''}"]
        lines += [f"  style        {one.style or 'unknown'}", f"  dataset      {one.dataset[:12] or 'unknown'}"]
        lines += [f"  code         commit {self.commit[:12]}, formats: {steps}", f"  gate         {passed}"]
        lines += [f"    {reason}" for reason in one.reasons]
        lines += ["  metrics", *(f"    {name:<24} {number:.4g}" for name, number in numeric_metrics(one).items())]
        given = {name: value for name, value in self.facts.items() if name not in ("dataset", "training_set")}
        lines += ["  parameters", *(f"    {name}: {value}" for name, value in flat(given).items())]
        lines += ["  was made prod" if self.listed.history else "  never was prod"]
        lines += [f"    {one.when}  {one.reason}" for one in self.listed.history]
        return "\n".join(lines)


def list_all_versions(workspace: Workspace, objects: DvcObjects) -> list[ListedVersion]:
    """Every version of every model, the newest first."""
    found = []
    for model in list_models(workspace):
        assignments = stage_history(workspace, model)
        found += [
            listed_version(workspace, objects, version, assignments) for version in list_versions(workspace, model)
        ]
    return found


def listed_version(
    workspace: Workspace, objects: DvcObjects, version: Version, assignments: list[StageAssignment]
) -> ListedVersion:
    """A version with its part of the history of `prod`."""
    here = (workspace.models / version.model / version.version).is_dir() or (
        bool(version.bytes) and objects.is_cached(version.bytes)
    )
    own = tuple(one for one in assignments if one.version == version.version)
    return ListedVersion(
        version, version_state(version, assignments, stage_history(workspace, version.model, REJECTED)), here, own
    )


def version_details(workspace: Workspace, objects: DvcObjects, version: Version) -> VersionDetails:
    """All details of a version."""
    lines = read_committed(workspace, version, workspace.formats.name).splitlines()
    formats = dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith("#"))
    return VersionDetails(
        listed=listed_version(workspace, objects, version, stage_history(workspace, version.model)),
        commit=git(workspace.root, "rev-parse", f"{version.name}^{{commit}}").strip(),
        formats=formats,
        facts=model_facts(objects, version),
    )


def model_facts(objects: DvcObjects, version: Version) -> dict[str, Any]:
    """The content of a version's model card; empty if it is missing."""
    try:
        return ModelCard.parse(objects.read(objects.files(version.bytes)[MODEL_CARD]), version.name).content
    except (RuntimeError, ValueError, KeyError):
        return {}


def numeric_metrics(version: Version) -> dict[str, float]:
    """The metrics that are numbers, by their dotted names, those of the gate first."""
    found = {
        name: float(value)
        for name, value in flat(version.metrics).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return dict(sorted(found.items(), key=lambda item: (not item[0].startswith(_FIRST), item[0])))
