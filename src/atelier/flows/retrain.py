"""The flows `retrain` and `approve`: from the sources to a promoted model, restyled archives and a report.

DVC knows the order of the stages and which of them have work. Gate, registry, restyled archives and report depend on
versions, which are not files of the pipeline, and follow it. The run works in a git worktree: a failure leaves the
workspace and `prod` as they were, and the next run continues from there.
"""

import contextlib
import os
from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from atelier.flows.config.params import Params
from atelier.flows.retrain_run import RunRecorder, record_run
from atelier.flows.retrain_tasks import (
    check_data,
    compare_with_prod,
    gate_and_register,
    open_worktree,
    promote,
    push,
    push_git,
    restyle_subscribed,
)
from atelier.flows.runs.retry_policy import RetryPolicy
from atelier.flows.update import reproduce, scan
from atelier.tasks.registry import promotion, resolve
from atelier.tasks.registry.refusal_advice import next_steps
from atelier.tasks.registry.release import find_registered
from atelier.tasks.registry.tags import MODEL, find_prod, list_versions
from atelier.tasks.runtime import cluster
from atelier.tasks.workspace import pipeline, trust, worktree
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.run_record import (
    ALREADY_PROD,
    AWAITING,
    PASSED,
    PROD_CHANGED,
    PROMOTED,
    UNCHANGED,
    RunRecord,
)

APPROVE_WITHIN_S = 3600.0  # wait for a run that goes on


WORKSPACE = "ATELIER_WORKSPACE"  # variable of the process that runs or serves these flows


def _workspace() -> Workspace:
    """The workspace of this process: it is no parameter, which everybody may choose who reaches Prefect's API.

    Raises:
        ValueError: the variable is not set, or a link leads out of the workspace.
    """
    if not (root := os.environ.get(WORKSPACE)):
        raise ValueError(f"{WORKSPACE} is not set: give it to the process that runs this flow, the workspace's folder")
    return Workspace.open(Path(root).absolute())


def _run_name() -> str:
    """The name of a flow run without one, like a scheduled run."""
    return f"{flow_run.flow_name} {_workspace().name}"


@flow(name="retrain", flow_run_name=_run_name)
def retrain(dry: bool = False) -> RunRecord | State[RunRecord]:
    """Run the pipeline, evaluate the model, and promote it and restyle with it if it passes the gate.

    The workspace is named by ATELIER_WORKSPACE.

    Args:
        dry: only decide: nothing is registered, pushed, promoted or restyled.
    """
    workspace = _workspace()

    def work(recorder: RunRecorder, params: Params) -> None:
        params.check_training()
        trust.check_settings(workspace.root)
        trust.check_pipeline(workspace)
        _work(workspace, recorder, params, dry)

    return record_run(workspace, work)


@flow(name="approve", flow_run_name=_run_name)
def approve(version: str = "", reason: str = "approved") -> RunRecord | State[RunRecord]:
    """Make a version that awaits approval `prod`, and restyle with it.

    The workspace is named by ATELIER_WORKSPACE.

    Args:
        version: the version; the newest that waits when "".
        reason: the reason, which the registry keeps.
    """
    workspace = _workspace()

    def work(recorder: RunRecorder, params: Params) -> None:
        found = [one for one in promotion.list_awaiting_approval(workspace) if version in ("", one.version)]
        if not found:
            raise ValueError(
                f"{f'{version} does not await' if version else 'no version awaits'} approval in {workspace.root}: "
                "`atelier models list` shows the state of each"
            )
        prod = find_prod(list_versions(workspace))
        recorder.update(version=found[0].version, previous=prod.version if prod else None, reasons=(reason,))
        with recorder.step("promote"):
            promote(
                str(workspace.root),
                found[0].version,
                resolve.version_commit(workspace, MODEL, found[0].version),
                reason,
                None,
            )
        recorder.update(decision=PROMOTED)
        with contextlib.suppress(FileNotFoundError):  # the worktree of the run that made it is gone
            made = find_registered(workspace, workspace.worktree)
            if made and made.version == found[0].version:  # a later run may work there
                worktree.remove_worktree(workspace)
        _after(workspace, recorder, params, RetryPolicy(params.retrain))

    return record_run(workspace, work, wait_s=APPROVE_WITHIN_S)


def _work(workspace: Workspace, recorder: RunRecorder, params: Params, dry: bool) -> None:
    """The work of a run; `recorder` gets the result of every step."""
    root, with_retries = str(workspace.root), RetryPolicy(params.retrain)
    with recorder.step("scan"):
        fresh = worktree.is_up_to_date(workspace, lambda lock: with_retries(scan)(root, lock))
    if fresh:
        recorder.update(stages=dict.fromkeys(pipeline.stages(workspace), "unchanged"), decision=UNCHANGED)
        prod = find_prod(list_versions(workspace))
        kept = find_registered(workspace, workspace)
        recorder.update(version=kept.version if kept else "", previous=prod.version if prod else None)
        if dry:
            return
    else:
        connection = cluster.connect()
        recorder.update(cpus=connection.cpus, gpus=connection.gpus)
        night = Workspace(Path(open_worktree(root)))
        cluster.preflight(night.root)
        with_retries(scan)(str(night.root))
        for stage in pipeline.stages(night):
            with recorder.step(stage):
                recorder.set_stage(stage, with_retries(reproduce)(str(night.root), stage))
            if stage == "ingest":
                with recorder.step("check"):
                    recorder.add_validation(with_retries(check_data)(str(night.root)))
        with recorder.step("gate"):
            comparison = with_retries(compare_with_prod)(str(night.root))
            release = gate_and_register(str(night.root), comparison, dry)
        recorder.add_decision(release, comparison)
        recorder.update(next_steps=next_steps(release, night.evaluation, params.train))
        if dry or params.gate.mode == "dry":
            return
        if release.decision in (PASSED, ALREADY_PROD, AWAITING) and params.retrain.push:
            with recorder.step("push"):
                with_retries(push)(str(night.root))
        if release.decision in (PASSED, ALREADY_PROD):
            with recorder.step("promote"):
                commit = pipeline.commit(night, f"{MODEL} {release.version}")
                reason = "; ".join(release.reasons) or "passed the gate"
                changed = promote(root, release.version, commit, reason, release.compared)
            if changed:
                recorder.update(decision=PROD_CHANGED, reasons=(changed,))
                return
            recorder.update(decision=ALREADY_PROD if release.decision == ALREADY_PROD else PROMOTED)
            worktree.remove_worktree(workspace)
    if recorder.record.decision in (PROMOTED, ALREADY_PROD, UNCHANGED):
        _after(workspace, recorder, params, with_retries)


def _after(workspace: Workspace, recorder: RunRecorder, params: Params, with_retries: RetryPolicy) -> None:
    """The steps after a promotion; an error in them is recorded, and the next run makes up for it."""
    root = str(workspace.root)
    if params.retrain.push and params.retrain.git_remote and recorder.record.decision == PROMOTED:
        with recorder.tolerate("the push to git's remote"), recorder.step("push git"):
            with_retries(push_git)(root, params.retrain.git_remote)
    if not find_prod(list_versions(workspace)):
        return
    for subscription in params.subscriptions:
        with recorder.tolerate(f"restyling {subscription.source}"), recorder.step("restyle"):
            outcome = with_retries(restyle_subscribed)(root, subscription.source, subscription.destination)
            recorder.update(restyled={**recorder.record.restyled, subscription.destination: outcome})
