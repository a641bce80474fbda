"""What a night came to, as its report, its notifications and `atelier status` tell it."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from atelier.tasks.runtime.files import write
from atelier.tasks.workspace.layout import Workspace

PASSED = "passed"
PROMOTED = "promoted"
KEPT = "prod already"  # the same model, measured anew
AWAITING = "awaiting approval"
UNCHANGED = "nothing changed"
STOPPED = "stopped before training"
FAILED = "failed"
PICTURE = "canaries.png"
CAME = "data.png"  # pictures that came and went


@dataclass(frozen=True)
class Night:
    """What one run of the pipeline came to."""

    started: str  # ISO 8601, with the time zone
    # "promoted", "refused", "awaiting approval", "registered" (was prod once), "would be promoted", "would be refused",
    # or one of the above
    decision: str = FAILED
    version: str = ""  # the version of the model that was judged, "" where there is none
    previous: str | None = None  # the version that was prod before
    reasons: tuple[str, ...] = ()  # why it was decided so, in sentences; of a failure, what to do
    stages: dict[str, str] = field(default_factory=dict)  # "ran", "restored" (from what DVC keeps) or "unchanged"
    seconds: dict[str, float] = field(default_factory=dict)  # of each step
    cpus: int = 0  # of the cluster while it ran
    gpus: int = 0
    data: dict[str, dict[str, int]] = field(default_factory=dict)  # domain: "added", "removed", "pictures"
    findings: tuple[dict[str, Any], ...] = ()  # of the data checks
    differences: dict[str, dict[str, float]] = field(default_factory=dict)  # from prod, as `gate.Difference`
    prod_metrics: dict[str, Any] = field(default_factory=dict)  # of prod, measured on the same pictures
    canaries: tuple[dict[str, Any], ...] = ()  # as `gate.CanaryResult`
    restyled: dict[str, str] = field(default_factory=dict)  # subscribed destination: what became of it
    problems: tuple[str, ...] = ()  # what failed without changing the decision
    report: str = ""  # path of the HTML report

    @property
    def story(self) -> str:
        """The run in a few lines."""
        by_state = {state: [n for n, s in self.stages.items() if s == state] for state in ("ran", "restored")}
        lines = [f"{state} {', '.join(names)}" for state, names in by_state.items() if names]
        lines = lines or ["no stage had anything to do"]
        lines += [f"model {self.version or 'not registered'}: {self.decision}", *(f"  {r}" for r in self.reasons)]
        lines += [f"{destination}: {became}" for destination, became in self.restyled.items()]
        lines += [f"problem: {problem}" for problem in self.problems]
        return "\n".join([*lines, f"report: {self.report}"])

    @property
    def left_a_candidate(self) -> bool:
        """Whether it judged a model that did not become `prod`."""
        return bool(self.stages) and self.decision not in (PROMOTED, KEPT, UNCHANGED, STOPPED, FAILED)

    @property
    def hours(self) -> float:
        """How long it took."""
        return sum(self.seconds.values()) / 3600


def keep(workspace: Workspace, night: Night, sheet: bytes | None) -> None:
    """Remember the last night.

    Args:
        workspace: whose night it was.
        night: what it came to.
        sheet: PNG of the canary pictures by prod and by the candidate; None keeps none.
    """
    picture = folder(workspace) / PICTURE
    if sheet:
        write(picture, sheet)
    else:
        picture.unlink(missing_ok=True)
    write(folder(workspace) / "night.json", json.dumps(asdict(night), indent=1).encode() + b"\n")


def last(workspace: Workspace) -> Night | None:
    """The last night that ended, however it did; None where there was none."""
    try:
        told = json.loads((folder(workspace) / "night.json").read_bytes())
        known = {f.name for f in fields(Night)}
        values: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in told.items() if key in known
        }
        return Night(**values)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def sheet(workspace: Workspace) -> bytes | None:
    """PNG of the canary pictures by prod and by the last candidate, None where there is none."""
    picture = folder(workspace) / PICTURE
    return picture.read_bytes() if picture.is_file() else None


def folder(workspace: Workspace) -> Path:
    """Where it is remembered."""
    return workspace.private / "last-night"
