"""The steps of a nightly run as Prefect tasks, each with its time and its pictures in the UI."""

from dataclasses import replace
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from atelier.flows.config.params import Params
from atelier.flows.runs.prefect_artifacts import picture_artifact, table_artifact, text_artifact
from atelier.flows.runs.progress import show_progress
from atelier.flows.runs.terminal import waiting
from atelier.tasks.bulk.subscriptions import restyle
from atelier.tasks.dataset import checks
from atelier.tasks.evaluation.gate import PairedComparison
from atelier.tasks.evaluation.metric_catalogue import HEADLINE
from atelier.tasks.registry import prod_comparison, promotion, resolve, tags
from atelier.tasks.registry import push as pushing
from atelier.tasks.registry.data_validation import DataValidation, validate_data
from atelier.tasks.registry.release import ReleaseResult, register_model
from atelier.tasks.registry.tags import MODEL, PROD
from atelier.tasks.runtime import cluster
from atelier.tasks.workspace import run_record, worktree
from atelier.tasks.workspace.layout import Workspace


@task(task_run_name="open the worktree", cache_policy=NO_CACHE)
def open_worktree(root: str) -> str:
    """Open the git worktree in which the run works; its path."""
    with waiting("opening the worktree of the run"):
        return str(worktree.open_worktree(Workspace(Path(root))).root)


@task(task_run_name="check the data", cache_policy=NO_CACHE)
def check_data(root: str) -> DataValidation:
    """Check the new dataset against the limits, and against the dataset that `prod` was trained on."""
    night = Workspace(Path(root))
    prod = tags.find_prod(tags.list_versions(night.main))
    with show_progress("check") as report:
        sheet = run_record.folder(night) / run_record.DATA_SHEET
        found = validate_data(night.main, night, prod, Params(night.params).checks, sheet, report)
    picture_artifact(night.main.root, "data", sheet, "Pictures added and removed")
    text_artifact(night.main.root, "data-checks", checks.markdown(found.findings))
    return found


@task(task_run_name="compare with prod", cache_policy=NO_CACHE)
def compare_with_prod(root: str) -> PairedComparison | None:
    """Measure candidate and `prod` on the same held-out pictures and on the canaries."""
    night = Workspace(Path(root))
    params = Params(night.params)
    with show_progress("compare with prod") as report:
        cache = night.private / "contest"
        return prod_comparison.compare_with_prod(night.main, night, params.evaluate, params.gate, cache, report=report)


@task(task_run_name="gate and register", cache_policy=NO_CACHE)
def gate_and_register(root: str, prod: PairedComparison | None, dry: bool) -> ReleaseResult:
    """Compare the model with the thresholds and with `prod`, and register it."""
    night = Workspace(Path(root))
    config = Params(night.params).gate
    release = register_model(night.main, night, replace(config, mode="dry") if dry else config, prod)
    reasons = "\n".join(f"- {reason}" for reason in release.reasons)
    text_artifact(night.main.root, "decision", f"## {release.version or 'model'}: {release.decision}\n\n{reasons}")
    if prod and prod.differences:
        labels = {one.key: one.label for one in HEADLINE}
        rows = [
            {
                "metric": labels.get(key, key),
                "candidate": f"{one.candidate:.3g}",
                prod.against: f"{one.prod:.3g}",
                "difference, 95 %": f"{one.low:+.2g} … {one.high:+.2g}",
            }
            for key, one in prod.differences.items()
        ]
        described = f"{release.version}: {release.decision}"
        table_artifact(night.main.root, "candidate-and-prod", rows, described)
    return release


@task(task_run_name="push", cache_policy=NO_CACHE)
def push(root: str) -> str:
    """Push data and model to DVC's remote, before anything depends on them."""
    with waiting("pushing data and model to DVC's remote"):
        return pushing.push_workspace(Workspace(Path(root)))


@task(task_run_name="promote {version}", cache_policy=NO_CACHE)
def promote(root: str, version: str, commit: str, reason: str, instead_of: str | None) -> str:
    """Check out the files and the data of a commit into the workspace, and make its model `prod` if it is not yet.

    Nothing happens where `instead_of` is not `prod` any more; the result is the reason then, else "".
    """
    workspace = Workspace(Path(root))

    def apply() -> None:
        worktree.apply_commit(workspace, commit, f"{MODEL} {version}")

    try:
        promotion.promote(workspace, version, reason=reason, instead_of=instead_of, apply=apply)
    except promotion.ProdChanged as changed:
        return str(changed)
    return ""


@task(task_run_name="push git", cache_policy=NO_CACHE)
def push_git(root: str, remote: str) -> None:
    """Push commits and versions to the git remote."""
    pushing.push_git(Workspace(Path(root)), remote)


@task(task_run_name="restyle {destination}", cache_policy=NO_CACHE)
def restyle_subscribed(root: str, source: str, destination: str) -> str:
    """Restyle a subscribed archive with `prod`; pictures that are done are skipped."""
    workspace = Workspace(Path(root))
    params = Params(workspace.params)
    subscription = next(s for s in params.subscriptions if (s.source, s.destination) == (source, destination))
    model = resolve.resolve(workspace, f"{MODEL}@{PROD}")
    with show_progress("restyle") as report:
        done = restyle(subscription, model, params.stylize, workspace.root, cluster.connect, report)
    rest = f", {done.pending} pending: the next night continues" if done.pending else ""
    return (
        f"{done.done} of {done.total} by {model.version}, {done.processed} new, {done.quarantined} in quarantine{rest}"
    )
