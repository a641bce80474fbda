"""Retrain: a night, from whatever is in the sources now to a judged model, pushed, promoted and at work, and a report.

DVC knows the order of the stages and which of them have anything to do; the gate, the registry, the archives that are
restyled and the report depend on versions, which are no files of the pipeline, and come after it. All of it happens in
a worktree: what fails leaves the workspace and `prod` as they were, and the next night goes on from there.
"""

import contextlib
from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from atelier.flows.config.params import Params
from atelier.flows.retrain_run import Story, told
from atelier.flows.retrain_tasks import (
    Patience,
    check_data,
    hold_against_prod,
    judge,
    open_night,
    promote,
    push,
    push_git,
    restyle_subscribed,
)
from atelier.flows.update import reproduce, scan
from atelier.tasks.registry import promotion, resolve
from atelier.tasks.registry.release import find_registered
from atelier.tasks.registry.tags import MODEL, find_prod, list_versions
from atelier.tasks.runtime import cluster
from atelier.tasks.workspace import pipeline, worktree
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.run_record import ALREADY_PROD, AWAITING, PASSED, PROMOTED, UNCHANGED, RunRecord

APPROVE_WITHIN_S = 3600.0  # a night that is running ends first


def _named() -> str:
    """What a run that nobody has named is called, like one of a schedule."""
    root = Path(str(flow_run.parameters["root"]))
    return f"{flow_run.flow_name} {Workspace(root).name}"


@flow(name="retrain", flow_run_name=_named)
def retrain(root: str, trust: bool = False, dry: bool = False) -> RunRecord | State[RunRecord]:
    """Run the pipeline, judge the model, and put it to work if it passes.

    Args:
        root: the workspace's folder.
        trust: also run stages whose command is not atelier's own.
        dry: only say what would be decided: nothing is registered, pushed, promoted or restyled.
    """
    workspace = Workspace(Path(root))

    def work(story: Story, params: Params) -> None:
        pipeline.check_trust(workspace, trust)
        _work(workspace, story, params, dry)

    return told(workspace, work)


@flow(name="approve", flow_run_name=_named)
def approve(root: str, version: str = "", reason: str = "approved") -> RunRecord | State[RunRecord]:
    """Make a model that waits for approval `prod`, and put it to work.

    Args:
        root: the workspace's folder.
        version: which; the newest that waits when "".
        reason: why; kept in the registry.
    """
    workspace = Workspace(Path(root))

    def work(story: Story, params: Params) -> None:
        found = [one for one in promotion.list_awaiting_approval(workspace) if version in ("", one.version)]
        if not found:
            raise ValueError(f"{version or 'no version'} of {workspace.root} waits for approval")
        prod = find_prod(list_versions(workspace))
        story.tell(version=found[0].version, previous=prod.version if prod else None, reasons=(reason,))
        with story.step("promote"):
            promote(root, found[0].version, resolve.version_commit(workspace, MODEL, found[0].version), reason)
        story.tell(decision=PROMOTED)
        with contextlib.suppress(FileNotFoundError):  # nothing is left of the night that made it
            made = find_registered(workspace, workspace.worktree)
            if made and made.version == found[0].version:  # a later night may have begun there
                worktree.remove_worktree(workspace)
        _after(workspace, story, params, Patience(params.retrain))

    return told(workspace, work, wait_s=APPROVE_WITHIN_S)


def _work(workspace: Workspace, story: Story, params: Params, dry: bool) -> None:
    """The night itself; `story` hears of every step."""
    root, patient = str(workspace.root), Patience(params.retrain)
    with story.step("scan"):
        fresh = worktree.is_up_to_date(workspace, lambda lock: patient(scan)(root, lock))
    if fresh:
        story.tell(stages=dict.fromkeys(pipeline.stages(workspace), "unchanged"), decision=UNCHANGED)
        prod = find_prod(list_versions(workspace))
        kept = find_registered(workspace, workspace)
        story.tell(version=kept.version if kept else "", previous=prod.version if prod else None)
        if dry:
            return
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
            comparison = patient(hold_against_prod)(str(night.root))
            release = judge(str(night.root), comparison, dry)
        story.judged(release, comparison)
        if dry or params.gate.mode == "dry":
            return
        if release.decision in (PASSED, ALREADY_PROD, AWAITING) and params.retrain.push:
            with story.step("push"):
                patient(push)(str(night.root))
        if release.decision in (PASSED, ALREADY_PROD):
            with story.step("promote"):
                commit = pipeline.commit(night, f"{MODEL} {release.version}")
                promote(root, release.version, commit, "; ".join(release.reasons) or "passed the gate")
            story.tell(decision=ALREADY_PROD if release.decision == ALREADY_PROD else PROMOTED)
            worktree.remove_worktree(workspace)
    if story.night.decision in (PROMOTED, ALREADY_PROD, UNCHANGED):
        _after(workspace, story, params, patient)


def _after(workspace: Workspace, story: Story, params: Params, patient: Patience) -> None:
    """What follows a promotion; what fails here is told and made up for by the next night."""
    root = str(workspace.root)
    if params.retrain.push and params.retrain.git_remote and story.night.decision == PROMOTED:
        with story.trying("the push to git's remote"), story.step("push git"):
            patient(push_git)(root, params.retrain.git_remote)
    if not find_prod(list_versions(workspace)):
        return
    for subscription in params.subscriptions:
        with story.trying(f"restyling {subscription.source}"), story.step("restyle"):
            became = patient(restyle_subscribed)(root, subscription.source, subscription.destination)
            story.tell(restyled={**story.night.restyled, subscription.destination: became})
