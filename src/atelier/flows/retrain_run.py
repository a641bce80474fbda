"""The frame of a nightly run: one at a time, recorded step by step, reported and notified however it ends."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import states, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.utilities.urls import url_for

from atelier.flows.config.notify import Kind
from atelier.flows.config.params import Params
from atelier.flows.report import write
from atelier.flows.runs import notification
from atelier.flows.runs.cancellation import Cancelled, cancellable
from atelier.flows.runs.orphans import end_orphans, tag_with_process
from atelier.flows.runs.prefect_artifacts import picture_artifact, table_artifact
from atelier.flows.runs.terminal import library_log
from atelier.tasks.dataset import checks
from atelier.tasks.evaluation.gate import PairedComparison
from atelier.tasks.images.codec import BadImage, load, thumbnail
from atelier.tasks.registry.data_validation import DataValidation
from atelier.tasks.registry.release import ReleaseResult
from atelier.tasks.runtime import files
from atelier.tasks.runtime.errors import one_line
from atelier.tasks.workspace import run_record
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock
from atelier.tasks.workspace.run_record import (
    ALREADY_PROD,
    AWAITING,
    FAILED,
    PROD_CHANGED,
    PROMOTED,
    REFUSED,
    STOPPED,
    UNCHANGED,
    RunRecord,
)

# the notification of each decision; a dry run has none: its user reads the terminal
KINDS: dict[str, Kind] = {
    PROMOTED: "success", ALREADY_PROD: "noop", UNCHANGED: "noop", "registered": "noop", REFUSED: "refused",
    AWAITING: "awaiting", PROD_CHANGED: "awaiting", STOPPED: "stopped", FAILED: "failed",
}  # fmt: skip


class DataCheckFailed(RuntimeError):  # noqa: N818 (an expected end of a run)
    """The data did not pass validation; the message says what to do."""


@dataclass
class RunRecorder:
    """The record of a run while it goes on."""

    workspace: Workspace
    record: RunRecord = field(
        default_factory=lambda: RunRecord(datetime.now().astimezone().isoformat(timespec="seconds"))
    )
    canaries: bytes | None = None  # PNG
    link: str = ""  # to the flow run in Prefect

    def update(self, **facts: Any) -> None:
        """Set fields of the record by their names in `RunRecord`."""
        self.record = replace(self.record, **facts)

    def set_stage(self, name: str, state: str) -> None:
        """Set the result of a stage: "ran", "restored" or "unchanged"."""
        self.update(stages={**self.record.stages, name: state})

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the seconds of a step."""
        started = time.monotonic()
        try:
            yield
        finally:
            spent = round(time.monotonic() - started + self.record.seconds.get(name, 0.0), 1)
            self.update(seconds={**self.record.seconds, name: spent})

    @contextlib.contextmanager
    def tolerate(self, what: str) -> Iterator[None]:
        """Record an error of the block as a problem, and go on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 (the decision stands; the report has the problem)
            problem = f"{what} failed: {one_line(error)}; the next night tries again"
            self.update(problems=(*self.record.problems, problem))

    def add_validation(self, found: DataValidation) -> None:
        """Record the data checks.

        Raises:
            DataCheckFailed: one of them did not pass.
        """
        self.update(data=found.changes, findings=tuple(asdict(finding) for finding in found.findings))
        if problems := checks.failed_checks(found.findings):
            raise DataCheckFailed("; ".join(problems))

    def add_decision(self, release: ReleaseResult, prod: PairedComparison | None) -> None:
        """Record the gate's decision, and how candidate and `prod` differ."""
        self.update(
            version=release.version, previous=release.previous, decision=release.decision, reasons=release.reasons
        )
        before = run_record.read_record(self.workspace)
        if not prod and before and release.version and before.version == release.version:  # it was compared then
            facts = ("differences", "prod_metrics", "canaries")
            self.update(**{name: getattr(before, name) for name in facts})
            self.canaries = run_record.read_canary_sheet(self.workspace)
        if prod:
            self.canaries = prod.sheet
            self.update(
                differences={key: asdict(value) for key, value in prod.differences.items()},
                prod_metrics=prod.metrics,
                canaries=tuple(asdict(canary) for canary in prod.canaries),
            )

    def finish(self) -> RunRecord:
        """Write the record and the report, send notifications, and show the steps in Prefect."""
        self.update(report=str(self.workspace.report))
        root = str(self.workspace.root)
        self._write()
        with self.tolerate("the report"):
            publish(root, self.record)
        with self.tolerate("the notification"):
            problems = notify(root, self.record, self.link)
            self.update(problems=(*self.record.problems, *problems))
        self._write()
        steps = [
            {"step": name, "seconds": seconds, "state": self.record.stages.get(name, "")}
            for name, seconds in self.record.seconds.items()
        ]
        with self.tolerate("the table in Prefect"):
            table_artifact(self.workspace.root, "night", steps, f"{self.record.decision} {self.record.version}")
        return self.record

    def _write(self) -> None:
        with self.tolerate("writing the record"):  # as on a full disk
            run_record.write_record(self.workspace, self.record, self.canaries)


def record_run(
    workspace: Workspace, work: Callable[[RunRecorder, Params], None], wait_s: float = 0.0
) -> RunRecord | State[RunRecord]:
    """Do the work of a run, and finish its record however it ends; `wait_s` is the wait for a run that goes on."""
    tag_with_process(workspace.name)
    context = FlowRunContext.get()
    recorder = RunRecorder(workspace, link=url_for(context.flow_run) or "" if context and context.flow_run else "")
    end_orphans()
    name = context.flow.name if context and context.flow else "retrain"
    with library_log(workspace, name), contextlib.ExitStack() as held:
        try:
            held.enter_context(lock(workspace, "night", wait_s))
        except RuntimeError as running:
            return states.Cancelled(message=one_line(running))
        try:
            with cancellable():
                work(recorder, Params(workspace.params).check())
        except Cancelled:
            return states.Cancelled(message="the same command again continues")
        except Exception as error:
            decision = STOPPED if isinstance(error, DataCheckFailed) else FAILED
            recorder.update(decision=decision, reasons=(one_line(error),))
            recorder.finish()
            raise
        record = recorder.finish()
    if record.decision == AWAITING:
        return states.Completed(name="AwaitingApproval", message=record.summary, data=record)
    return record


@task(task_run_name="report", cache_policy=NO_CACHE)
def publish(root: str, record: RunRecord) -> str:
    """Write the report, and show the held-out and the canary pictures in Prefect."""
    workspace = Workspace(Path(root))
    page = write(workspace)
    picture_artifact(root, "before-after", _held_out_grid(workspace, record), "Held-out pictures, before and after")
    sheet = run_record.folder(workspace) / run_record.CANARY_SHEET
    picture_artifact(root, "canaries", sheet, "Canary pictures, by prod and candidate")
    return str(page)


@task(task_run_name="notify", cache_policy=NO_CACHE)
def notify(root: str, record: RunRecord, link: str) -> list[str]:
    """Send the notifications of section `notify`; what could not be sent, in sentences."""
    kind = KINDS.get(record.decision)
    if kind is None:
        return []
    workspace = Workspace(Path(root))
    title = f"{record.version} {record.decision}".strip()
    sentences = (*record.reasons, *record.next_steps, *record.problems, f"report: {record.report}")
    event = notification.Event(kind, workspace.name, title, sentences, link, _write_picture(workspace, record))
    return notification.notify(Params(workspace.params).notify, event)


def _write_picture(workspace: Workspace, record: RunRecord) -> Path | None:
    """Write the picture of a notification: a thumbnail of the canary or the held-out pictures, None without them."""
    folder = run_record.folder(workspace)
    for picture in (folder / run_record.CANARY_SHEET, _held_out_grid(workspace, record)):
        with contextlib.suppress(OSError, BadImage):  # a message goes without what cannot be read
            files.write(folder / "picture.jpg", thumbnail(load(picture)))
            return folder / "picture.jpg"
    return None


def _held_out_grid(workspace: Workspace, record: RunRecord) -> Path:
    """The held-out pictures, before and after, by the model that a run evaluated."""
    return (workspace.worktree if record.has_candidate else workspace).evaluation_pictures / "grid.png"
