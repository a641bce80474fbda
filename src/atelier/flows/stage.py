"""A stage of dvc.yaml as a flow run of its own: this is what DVC runs. Each stage imports only what it runs."""

from dataclasses import replace
from pathlib import Path

from prefect import flow

from atelier.flows.config.params import Params
from atelier.flows.runs.orphans import end_orphans, tag_with_process
from atelier.flows.runs.prefect_artifacts import picture_artifact, table_artifact
from atelier.flows.runs.progress import show_progress
from atelier.flows.runs.terminal import say
from atelier.tasks.runtime import cluster
from atelier.tasks.runtime.processes import die_with_parent
from atelier.tasks.runtime.progress import Progress, Report
from atelier.tasks.workspace import stage_errors
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock


def run(name: str, workspace: Workspace) -> None:
    """Run the flow of a stage, like "train", one at a time, and no longer than the DVC process that started it.

    DVC does not supervise its stages: after a kill of DVC a stage would go on writing. So the stage dies with its
    parent, and holds a lock on its outputs while it lives.
    """
    work = {"ingest": _ingest, "augment": _augment, "train": _train, "evaluate": _evaluate}[name]

    @flow(name=name, flow_run_name=f"{name} {workspace.name}")
    def stage(root: str) -> None:
        here = Workspace(Path(root))
        tag_with_process(workspace.name)
        with show_progress(name) as report:
            work(here, Params(here.params), report)

    die_with_parent()
    cluster.connect()
    cluster.preflight(workspace.root)
    end_orphans()
    with lock(workspace, name):
        try:
            stage(str(workspace.root))
        except Exception as error:
            cause = cluster.or_lost(error)
            stage_errors.write_error(workspace, name, cause)
            if cause is error:
                raise
            raise cause from error


def _ingest(workspace: Workspace, params: Params, report: Report) -> None:
    """Read, screen and store the pictures that `sources.lock` names."""
    from atelier.tasks.dataset.held_out import few_held_out
    from atelier.tasks.dataset.ingest import ingest

    summary = ingest(params.ingest, workspace.main.root, workspace.sources_lock, workspace.dataset, report)
    rows = [{"domain": domain, **splits} for domain, splits in summary.rows.items()]
    left_out = f"not taken: {', '.join(summary.notes)}" if summary.notes else ""
    report(Progress("ingest", summary.files, summary.files, "images", left_out))
    described = "; ".join([f"dataset {summary.dataset_id[:12]}", *([left_out] if left_out else [])])
    table_artifact(workspace.main.root, "dataset", rows, described)
    for note in few_held_out(workspace.dataset, params.ingest):
        say(note)


def _augment(workspace: Workspace, params: Params, report: Report) -> None:
    """Write augmented variants of the training split, and their contact sheet."""
    from atelier.tasks.dataset.augment import augment

    augment(params.augment, workspace.dataset, workspace.augmented, report)
    sheet = workspace.augmented / "contact_sheet.png"
    picture_artifact(workspace.main.root, "contact-sheet", sheet, "Pictures of the training set")


def _train(workspace: Workspace, params: Params, report: Report) -> None:
    """Train on the cluster's workers; a killed run continues from its last checkpoint."""
    from atelier.tasks.registry.warm_start import initial_model, pinned_start
    from atelier.tasks.training.train import train

    config = replace(params.train, start_from=pinned_start(workspace))
    initial = initial_model(workspace, config)
    outputs = workspace.model, workspace.checkpoints, workspace.training_logs
    train(config, workspace.augmented, *outputs, report, initial=initial)
    samples = workspace.model / "samples.png"
    picture_artifact(workspace.main.root, "training-samples", samples, "Training pictures, before and after")


def _evaluate(workspace: Workspace, params: Params, report: Report) -> None:
    """Write `reports/evaluation.json` and the pictures beside it."""
    from atelier.tasks.evaluation.evaluate import evaluate

    pictures = workspace.evaluation_pictures
    outputs = workspace.evaluation, pictures, workspace.evaluation_cache
    evaluate(params.evaluate, workspace.dataset, workspace.model, *outputs, report)
    picture_artifact(workspace.main.root, "before-after", pictures / "grid.png", "Held-out pictures, before and after")
