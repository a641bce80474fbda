"""The story of a night: told step by step while it goes on, and to whom it concerns when it ends, however it does."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import states, tags, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.utilities.urls import url_for

from atelier.flows.config.notify import Kind
from atelier.flows.config.params import Params
from atelier.flows.report import write
from atelier.flows.runs.artifacts import picture_artifact
from atelier.flows.runs.cancellation import Cancelled, cancellable
from atelier.flows.runs.notification import Event, tell
from atelier.flows.runs.orphans import claim, reap
from atelier.tasks.dataset import checks
from atelier.tasks.evaluation.gate import PairedComparison
from atelier.tasks.registry.data_validation import DataValidation
from atelier.tasks.registry.release import ReleaseResult
from atelier.tasks.runtime.errors import one_line
from atelier.tasks.workspace import run_record
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock
from atelier.tasks.workspace.run_record import ALREADY_PROD, AWAITING, FAILED, PROMOTED, STOPPED, UNCHANGED, RunRecord

# what people are told of each decision; a dry night tells whoever started it
KINDS: dict[str, Kind] = {
    PROMOTED: "success", ALREADY_PROD: "noop", UNCHANGED: "noop", "registered": "noop", "refused": "refused",
    AWAITING: "awaiting", STOPPED: "stopped", FAILED: "failed",
}  # fmt: skip


class Stopped(RuntimeError):  # noqa: N818 (it is what the limits are for)
    """The data are not such that training on them is safe; the message says what to do."""


@dataclass
class Story:
    """The record of the night while it is going on."""

    workspace: Workspace
    night: RunRecord = field(
        default_factory=lambda: RunRecord(datetime.now().astimezone().isoformat(timespec="seconds"))
    )
    sheet: bytes | None = None
    link: str = ""  # of the flow run in Prefect

    def tell(self, **facts: Any) -> None:
        """Take over facts of the record, by their names in `RunRecord`."""
        self.night = replace(self.night, **facts)

    def stage(self, name: str, state: str) -> None:
        """Say what became of a stage."""
        self.tell(stages={**self.night.stages, name: state})

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step."""
        started = time.monotonic()
        try:
            yield
        finally:
            spent = round(time.monotonic() - started + self.night.seconds.get(name, 0.0), 1)
            self.tell(seconds={**self.night.seconds, name: spent})

    @contextlib.contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Tell of an error and go on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 (the decision stands; told in the report)
            self.tell(problems=(*self.night.problems, f"{what} failed: {one_line(error)}; the next night tries again"))

    def looked(self, found: DataValidation) -> None:
        """Say what the data are like; where a check has not passed, that is the end of the night."""
        self.tell(data=found.changes, findings=tuple(asdict(finding) for finding in found.findings))
        if problems := checks.problems(found.findings):
            raise Stopped("; ".join(problems))

    def judged(self, release: ReleaseResult, prod: PairedComparison | None) -> None:
        """Say what the gate has decided, and how candidate and `prod` differ."""
        self.tell(
            version=release.version, previous=release.previous, decision=release.decision, reasons=release.reasons
        )
        before = run_record.read_record(self.workspace)
        if not prod and before and release.version and before.version == release.version:  # it was judged then
            facts = ("differences", "prod_metrics", "canaries")
            self.tell(**{name: getattr(before, name) for name in facts})
            self.sheet = run_record.read_canary_sheet(self.workspace)
        if prod:
            self.sheet = prod.sheet
            self.tell(
                differences={key: asdict(value) for key, value in prod.differences.items()},
                prod_metrics=prod.metrics,
                canaries=tuple(asdict(canary) for canary in prod.canaries),
            )

    def end(self) -> RunRecord:
        """Remember it, write the report and show it in Prefect."""
        self.tell(report=str(self.workspace.report))
        root = str(self.workspace.root)
        self._keep()
        with self.trying("the report"):
            publish(root)
        with self.trying("telling people"):
            told = notify(root, self.night, self.link)
            self.tell(problems=(*self.night.problems, *told))
        self._keep()
        steps = [
            {"step": name, "seconds": seconds, "state": self.night.stages.get(name, "")}
            for name, seconds in self.night.seconds.items()
        ]
        with self.trying("the table in Prefect"):
            create_table_artifact(steps, key="night", description=f"{self.night.decision} {self.night.version}")
        return self.night

    def _keep(self) -> None:
        with self.trying("remembering the night"):  # as on a full disk
            run_record.write_record(self.workspace, self.night, self.sheet)


def told(
    workspace: Workspace, work: Callable[[Story, Params], None], wait_s: float = 0.0
) -> RunRecord | State[RunRecord]:
    """Do something that only one process may do in a workspace at a time, and tell what came of it, however it ends."""
    claim()
    context = FlowRunContext.get()
    story = Story(workspace, link=url_for(context.flow_run) or "" if context and context.flow_run else "")
    reap()
    with lock(workspace, "night", wait_s), tags(workspace.name):
        try:
            with cancellable():
                work(story, Params(workspace.params).check())
        except Cancelled:
            return states.Cancelled(message="the same command again continues")
        except Exception as error:
            story.tell(decision=STOPPED if isinstance(error, Stopped) else FAILED, reasons=(one_line(error),))
            story.end()
            raise
        night = story.end()
    if night.decision == AWAITING:
        return states.Completed(name="AwaitingApproval", message=night.summary, data=night)
    return night


@task(task_run_name="report", cache_policy=NO_CACHE)
def publish(root: str) -> str:
    """Write the report, and show the held-out pictures before and after."""
    workspace = Workspace(Path(root))
    page = write(workspace)
    picture_artifact("before-after", workspace.evaluation_pictures / "grid.png", "Held-out pictures, before and after")
    picture_artifact(
        "canaries", run_record.folder(workspace) / run_record.CANARY_SHEET, "Canary pictures, by prod and candidate"
    )
    return str(page)


@task(task_run_name="notify", cache_policy=NO_CACHE)
def notify(root: str, night: RunRecord, link: str) -> list[str]:
    """Tell whom `notify` names; what could not be told comes back in sentences."""
    kind = KINDS.get(night.decision)
    if kind is None:
        return []
    workspace = Workspace(Path(root))
    shown = workspace.worktree if night.has_candidate else workspace
    pictures = (run_record.folder(workspace) / run_record.CANARY_SHEET, shown.evaluation_pictures / "grid.png")
    picture = next((one for one in pictures if one.is_file()), None)
    title = f"{night.version} {night.decision}".strip()
    sentences = (*night.reasons, *night.problems, f"report: {night.report}")
    return tell(Params(workspace.params).notify, Event(kind, workspace.name, title, sentences, link, picture))
