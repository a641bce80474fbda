"""Retrain: a night, from whatever is in the sources now to a judged model, pushed, promoted and at work, and a report.

DVC knows the order of the stages and which of them have anything to do; the gate, the registry, the archives that are
restyled and the report depend on versions, which are no files of the pipeline, and come after it. All of it happens in
a worktree: what fails leaves the workspace and `prod` as they were, and the next night goes on from there.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from prefect import Task, flow, states, tags, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.utilities.urls import url_for

from atelier.flows.cancellation import Cancelled, cancellable
from atelier.flows.notification import Event, tell
from atelier.flows.params import Params
from atelier.flows.pictures import picture_artifact
from atelier.flows.progress import shown
from atelier.flows.reaping import claim, reap
from atelier.flows.report import write
from atelier.flows.update import reproduce, scan
from atelier.tasks import cluster, data_checks, night_record, nights, pipeline, remotes, versions
from atelier.tasks.challenge import challenge
from atelier.tasks.data_night import Looked, look
from atelier.tasks.failures import StageFailed
from atelier.tasks.gate import Contest
from atelier.tasks.night_record import AWAITING, FAILED, KEPT, PROMOTED, STOPPED, UNCHANGED, Night
from atelier.tasks.notify_config import Kind
from atelier.tasks.registry import MODEL, PROD
from atelier.tasks.retrain_config import RetrainConfig
from atelier.tasks.subscriptions import restyle
from atelier.tasks.versions import Release
from atelier.tasks.workspace import Workspace, lock

APPROVE_WITHIN_S = 3600.0  # a night that is running ends first

R = TypeVar("R")
# what people are told of each decision; a dry night tells whoever started it
KINDS: dict[str, Kind] = {
    PROMOTED: "success", KEPT: "noop", UNCHANGED: "noop", "registered": "noop", "refused": "refused",
    AWAITING: "awaiting", STOPPED: "stopped", FAILED: "failed",
}  # fmt: skip


@task(task_run_name="open the night", cache_policy=NO_CACHE)
def open_night(root: str) -> str:
    """The worktree that the night works in."""
    return str(nights.open_night(Workspace(Path(root))).root)


@task(task_run_name="check the data", cache_policy=NO_CACHE)
def check_data(root: str) -> Looked:
    """Hold the new dataset against the limits, and against the one that `prod` was trained on."""
    night = Workspace(Path(root))
    prod = versions.current(versions.list_versions(night.home))
    with shown("check") as report:
        sheet = night_record.folder(night) / night_record.CAME
        found = look(night.home, night, prod, Params(night.params).checks, sheet, report)
    picture_artifact("data", sheet, "Pictures that came and went")
    create_markdown_artifact(data_checks.markdown(found.findings), key="data-checks")
    return found


@task(task_run_name="hold against prod", cache_policy=NO_CACHE)
def hold_against_prod(root: str) -> Contest | None:
    """Measure candidate and `prod` on the same held-out pictures and on the canaries."""
    night = Workspace(Path(root))
    params = Params(night.params)
    with shown("contest") as report:
        cache = night.private / "contest"
        return challenge(night.home, night, params.evaluate, params.gate, cache, report=report)


@task(task_run_name="gate and register", cache_policy=NO_CACHE)
def judge(root: str, prod: Contest | None, dry: bool) -> Release:
    """Hold the model against the thresholds and against `prod`, and register it."""
    night = Workspace(Path(root))
    config = Params(night.params).gate
    result = versions.enter(night.home, night, replace(config, mode="dry") if dry else config, prod)
    _show_decision(result, prod)
    return result


@task(task_run_name="push", cache_policy=NO_CACHE)
def push(root: str) -> str:
    """Bring data and model to DVC's remote, before anything depends on them."""
    return remotes.push(Workspace(Path(root)))


@task(task_run_name="promote {version}", cache_policy=NO_CACHE)
def promote(root: str, version: str, commit: str, reason: str) -> None:
    """Bring the files and the data of a commit into the workspace, and make its model `prod` where it is not yet."""
    workspace = Workspace(Path(root))
    nights.adopt(workspace, commit, f"{MODEL} {version}")
    prod = versions.current(versions.list_versions(workspace))
    if prod is None or prod.version != version:
        versions.promote(workspace, version, reason=reason)


@task(task_run_name="push git", cache_policy=NO_CACHE)
def push_git(root: str, remote: str) -> None:
    """Bring commits and versions to the git remote."""
    remotes.push_git(Workspace(Path(root)), remote)


@task(task_run_name="restyle {destination}", cache_policy=NO_CACHE)
def restyle_subscribed(root: str, source: str, destination: str) -> str:
    """Restyle what is subscribed with `prod`, what is done already excepted."""
    workspace = Workspace(Path(root))
    params = Params(workspace.params)
    subscription = next(s for s in params.subscriptions if (s.source, s.destination) == (source, destination))
    model = versions.resolve(workspace, f"{MODEL}@{PROD}")
    with shown("restyle") as report:
        done = restyle(subscription, model, params.stylize, workspace.root, cluster.connect, report)
    rest = f", {done.pending} pending: the next night continues" if done.pending else ""
    return (
        f"{done.done} of {done.total} by {model.version}, {done.processed} new, {done.quarantined} in quarantine{rest}"
    )


@task(task_run_name="report", cache_policy=NO_CACHE)
def publish(root: str) -> str:
    """Write the report, and show the held-out pictures before and after."""
    workspace = Workspace(Path(root))
    page = write(workspace)
    picture_artifact("before-after", workspace.evaluation_pictures / "grid.png", "Held-out pictures, before and after")
    picture_artifact(
        "canaries", night_record.folder(workspace) / night_record.PICTURE, "Canary pictures, by prod and candidate"
    )
    return str(page)


@task(task_run_name="notify", cache_policy=NO_CACHE)
def notify(root: str, night: Night, link: str) -> list[str]:
    """Tell whom `notify` names; what could not be told comes back in sentences."""
    kind = KINDS.get(night.decision)
    if kind is None:
        return []
    workspace = Workspace(Path(root))
    shown = workspace.night if night.left_a_candidate else workspace
    pictures = (night_record.folder(workspace) / night_record.PICTURE, shown.evaluation_pictures / "grid.png")
    picture = next((one for one in pictures if one.is_file()), None)
    title = f"{night.version} {night.decision}".strip()
    sentences = (*night.reasons, *night.problems, f"report: {night.report}")
    return tell(Params(workspace.params).notify, Event(kind, workspace.name, title, sentences, link, picture))


def _named() -> str:
    """What a run that nobody has named is called, like one of a schedule."""
    root = Path(str(flow_run.parameters["root"]))
    return f"{flow_run.flow_name} {Workspace(root).name}"


@flow(name="retrain", flow_run_name=_named)
def retrain(root: str, trust: bool = False, dry: bool = False) -> Night | State[Night]:
    """Run the pipeline, judge the model, and put it to work if it passes.

    Args:
        root: the workspace's folder.
        trust: also run stages whose command is not atelier's own.
        dry: only say what would be decided: nothing is registered, pushed, promoted or restyled.
    """
    claim()
    workspace = Workspace(Path(root))

    def work(story: _Story, params: Params) -> None:
        pipeline.check_trust(workspace, trust)
        _work(workspace, story, params, dry)

    return _told(workspace, work)


@flow(name="approve", flow_run_name=_named)
def approve(root: str, version: str = "", reason: str = "approved") -> Night | State[Night]:
    """Make a model that waits for approval `prod`, and put it to work.

    Args:
        root: the workspace's folder.
        version: which; the newest that waits when "".
        reason: why; kept in the registry.
    """
    claim()
    workspace = Workspace(Path(root))

    def work(story: _Story, params: Params) -> None:
        found = [one for one in versions.waiting(workspace) if version in ("", one.version)]
        if not found:
            raise ValueError(f"{version or 'no version'} of {workspace.root} waits for approval")
        prod = versions.current(versions.list_versions(workspace))
        story.tell(version=found[0].version, previous=prod.version if prod else None, reasons=(reason,))
        with story.step("promote"):
            promote(root, found[0].version, versions.commit_of(workspace, MODEL, found[0].version), reason)
        story.tell(decision=PROMOTED)
        nights.leave(workspace)
        _after(workspace, story, params, _Patience(params.retrain))

    return _told(workspace, work, wait_s=APPROVE_WITHIN_S)


def _told(workspace: Workspace, work: "Callable[[_Story, Params], None]", wait_s: float = 0.0) -> Night | State[Night]:
    """Do something that only one process may do in a workspace at a time, and tell what came of it, however it ends."""
    context = FlowRunContext.get()
    story = _Story(workspace, link=url_for(context.flow_run) or "" if context and context.flow_run else "")
    reap()
    with lock(workspace, "night", wait_s), tags(workspace.name):
        try:
            with cancellable():
                work(story, Params(workspace.params).check())
        except Cancelled:
            return states.Cancelled(message="the same command again continues")
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            story.tell(decision=STOPPED if isinstance(error, Stopped) else FAILED, reasons=(reason,))
            story.end()
            raise
        night = story.end()
    if night.decision == AWAITING:
        return states.Completed(name="AwaitingApproval", message=night.story, data=night)
    return night


def _work(workspace: Workspace, story: "_Story", params: Params, dry: bool) -> None:
    """The night itself; `story` hears of every step."""
    root, patient = str(workspace.root), _Patience(params.retrain)
    with story.step("scan"):
        fresh = nights.unchanged(workspace, lambda lock: patient(scan)(root, lock))
    if fresh:
        story.tell(stages=dict.fromkeys(pipeline.stages(workspace), "unchanged"), decision=UNCHANGED)
        prod = versions.current(versions.list_versions(workspace))
        known = versions.known(workspace, workspace)
        story.tell(version=known.version if known else "", previous=prod.version if prod else None)
    else:
        connection = cluster.connect()
        story.tell(cpus=connection.cpus, gpus=connection.gpus)
        night = Workspace(Path(open_night(root)))
        cluster.preflight(night.root)
        patient(scan)(str(night.root))
        for stage in pipeline.stages(night):
            with story.step(stage):
                story.stage(stage, patient(reproduce)(str(night.root), stage))
            if stage == "ingest":
                with story.step("check"):
                    story.looked(patient(check_data)(str(night.root)))
        with story.step("gate"):
            prod_contest = patient(hold_against_prod)(str(night.root))
            release = judge(str(night.root), prod_contest, dry)
        story.judged(release, prod_contest)
        if release.decision in ("passed", KEPT, AWAITING) and params.retrain.push:
            with story.step("push"):
                patient(push)(str(night.root))
        if release.decision in ("passed", KEPT):
            with story.step("promote"):
                commit = pipeline.commit(night, f"{MODEL} {release.version}")
                promote(root, release.version, commit, "; ".join(release.reasons) or "passed the gate")
            story.tell(decision=KEPT if release.decision == KEPT else PROMOTED)
            nights.leave(workspace)
    if not dry and story.night.decision in (PROMOTED, KEPT, UNCHANGED):
        _after(workspace, story, params, patient)


def _after(workspace: Workspace, story: "_Story", params: Params, patient: "_Patience") -> None:
    """What follows a promotion; what fails here is told and made up for by the next night."""
    root = str(workspace.root)
    if params.retrain.push and params.retrain.git_remote and story.night.decision == PROMOTED:
        with story.trying("the push to git's remote"), story.step("push git"):
            patient(push_git)(root, params.retrain.git_remote)
    if not versions.current(versions.list_versions(workspace)):
        return
    for subscription in params.subscriptions:
        with story.trying(f"restyling {subscription.source}"), story.step("restyle"):
            became = patient(restyle_subscribed)(root, subscription.source, subscription.destination)
            story.tell(restyled={**story.night.restyled, subscription.destination: became})


class Stopped(RuntimeError):  # noqa: N818 (it is what the limits are for)
    """The data are not such that training on them is safe; the message says what to do."""


@dataclass
class _Story:
    """The record of the night while it is going on."""

    workspace: Workspace
    night: Night = field(default_factory=lambda: Night(datetime.now().astimezone().isoformat(timespec="seconds")))
    sheet: bytes | None = None
    link: str = ""  # of the flow run in Prefect

    def tell(self, **facts: Any) -> None:
        self.night = replace(self.night, **facts)

    def stage(self, name: str, state: str) -> None:
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
            reason = " ".join(str(error).split()) or type(error).__name__
            self.tell(problems=(*self.night.problems, f"{what} failed: {reason}; the next night tries again"))

    def looked(self, found: Looked) -> None:
        self.tell(data=found.changes, findings=tuple(asdict(finding) for finding in found.findings))
        if problems := data_checks.problems(found.findings):
            raise Stopped("; ".join(problems))

    def judged(self, release: Release, prod: Contest | None) -> None:
        self.tell(
            version=release.version, previous=release.previous, decision=release.decision, reasons=release.reasons
        )
        before = night_record.last(self.workspace)
        if not prod and before and release.version and before.version == release.version:  # it was judged then
            facts = ("differences", "prod_metrics", "canaries")
            self.tell(**{name: getattr(before, name) for name in facts})
            self.sheet = night_record.sheet(self.workspace)
        if prod:
            self.sheet = prod.sheet
            self.tell(
                differences={key: asdict(value) for key, value in prod.differences.items()},
                prod_metrics=prod.metrics,
                canaries=tuple(asdict(canary) for canary in prod.canaries),
            )

    def end(self) -> Night:
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
        create_table_artifact(steps, key="night", description=f"{self.night.decision} {self.night.version}")
        return self.night

    def _keep(self) -> None:
        with self.trying("remembering the night"):  # as on a full disk
            night_record.keep(self.workspace, self.night, self.sheet)


class _Patience:
    """Tasks that are tried again when what failed may pass."""

    def __init__(self, config: RetrainConfig) -> None:
        self.delays = [config.retry_after_s * 2**index for index in range(config.retries)]

    def __call__(self, one: Task[..., R]) -> Callable[..., R]:
        if not self.delays:
            return one
        return one.with_options(retries=len(self.delays), retry_delay_seconds=self.delays, retry_condition_fn=_may_pass)


def _may_pass(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether the same again may end better: bad parameters and a training that diverged do not."""
    error = state.result(raise_on_failure=False)
    return error.again if isinstance(error, StageFailed) else not isinstance(error, ValueError)


def _show_decision(release: Release, prod: Contest | None) -> None:
    reasons = "\n".join(f"- {reason}" for reason in release.reasons)
    create_markdown_artifact(f"## {release.version or 'model'}: {release.decision}\n\n{reasons}", key="decision")
    if prod and prod.differences:
        rows = [
            {
                "measure": key,
                "candidate": f"{one.candidate:.3g}",
                prod.against: f"{one.prod:.3g}",
                "difference, 95 %": f"{one.low:+.2g} … {one.high:+.2g}",
            }
            for key, one in prod.differences.items()
        ]
        create_table_artifact(rows, key="candidate-and-prod", description=f"{release.version}: {release.decision}")
