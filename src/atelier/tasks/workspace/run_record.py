"""The record of one `atelier retrain`: its result, for the report, the notifications and `atelier status`."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from atelier.tasks.runtime import files
from atelier.tasks.workspace.layout import Workspace

PASSED = "passed"
PROMOTED = "promoted"
ALREADY_PROD = "prod already"  # the same model, measured again
AWAITING = "awaiting approval"
PROD_CHANGED = "prod changed meanwhile"  # it passed, but a person promoted or rolled back after the comparison
UNCHANGED = "nothing changed"
REFUSED = "refused"
WOULD_BE_REFUSED = "would be refused"  # of a dry run
STOPPED = "stopped before training"
FAILED = "failed"
CANARY_SHEET = "canaries.png"  # of canary pictures, by prod and by the candidate
DATA_SHEET = "data.png"  # of pictures added and removed
_FILE = "night.json"


@dataclass(frozen=True)
class RunRecord:
    """The result of one run of the pipeline."""

    started: str  # ISO 8601, with the time zone
    # "registered" (was prod once), "would be promoted", or one of the above
    decision: str = FAILED
    version: str = ""  # of the model that was evaluated, "" where there is none
    previous: str | None = None  # the version that was prod before
    reasons: tuple[str, ...] = ()  # of the decision, in sentences; after a failure, what to do
    stages: dict[str, str] = field(default_factory=dict)  # "ran", "restored" (from what DVC keeps) or "unchanged"
    seconds: dict[str, float] = field(default_factory=dict)  # by step
    cpus: int = 0  # of the cluster
    gpus: int = 0
    data: dict[str, dict[str, int]] = field(default_factory=dict)  # domain: "added", "removed", "pictures"
    findings: tuple[dict[str, Any], ...] = ()  # of the data checks
    differences: dict[str, dict[str, float]] = field(default_factory=dict)  # to prod, as `gate.Difference`
    prod_metrics: dict[str, Any] = field(default_factory=dict)  # of prod, measured on the same pictures
    canaries: tuple[dict[str, Any], ...] = ()  # as `gate.CanaryResult`
    restyled: dict[str, str] = field(default_factory=dict)  # result by subscribed destination
    problems: tuple[str, ...] = ()  # failures that did not change the decision
    report: str = ""  # path of the HTML report
    next_steps: tuple[str, ...] = ()  # what to do about a refusal, the most useful first

    @property
    def summary(self) -> str:
        """A summary in a few lines."""
        by_state = {state: [n for n, s in self.stages.items() if s == state] for state in ("ran", "restored")}
        lines = [f"{state} {', '.join(names)}" for state, names in by_state.items() if names]
        lines = lines or (["no stage had anything to do"] if self.stages else [])
        lines += [f"model {self.version or 'not registered'}: {self.decision}", *(f"  {r}" for r in self.reasons)]
        lines += ["what to do next, the most useful first:"] if self.next_steps else []
        lines += [f"  {number}. {step}" for number, step in enumerate(self.next_steps, 1)]
        lines += [f"{destination}: {became}" for destination, became in self.restyled.items()]
        lines += [f"problem: {problem}" for problem in self.problems]
        return "\n".join([*lines, f"report: {self.report}"])

    @property
    def refused(self) -> bool:
        """Whether the gate refused the model."""
        return self.decision in (REFUSED, WOULD_BE_REFUSED)

    @property
    def has_candidate(self) -> bool:
        """Whether it evaluated a model that did not become `prod`."""
        return bool(self.stages) and self.decision not in (PROMOTED, ALREADY_PROD, UNCHANGED, STOPPED, FAILED)

    @property
    def hours(self) -> float:
        """Duration."""
        return sum(self.seconds.values()) / 3600


def write_record(workspace: Workspace, record: RunRecord, canaries: bytes | None) -> None:
    """Write the record of the last run, and the PNG of its canary pictures; None removes an earlier one."""
    sheet = folder(workspace) / CANARY_SHEET
    if canaries:
        files.write(sheet, canaries)
    else:
        sheet.unlink(missing_ok=True)
    files.write(folder(workspace) / _FILE, json.dumps(asdict(record), indent=1).encode() + b"\n")


def read_record(workspace: Workspace) -> RunRecord | None:
    """The record of the last finished run, whatever its result; None where there is none."""
    try:
        content = json.loads((folder(workspace) / _FILE).read_bytes())
        known = {f.name for f in fields(RunRecord)}
        values: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in content.items() if key in known
        }
        return RunRecord(**values)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def read_canary_sheet(workspace: Workspace) -> bytes | None:
    """PNG of the canary pictures by prod and by the last candidate, None where there is none."""
    sheet = folder(workspace) / CANARY_SHEET
    return sheet.read_bytes() if sheet.is_file() else None


def folder(workspace: Workspace) -> Path:
    """The folder of the record and its pictures."""
    return workspace.private / "last-night"
