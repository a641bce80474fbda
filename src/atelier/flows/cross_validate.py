"""The flow `folds`: cross-validation, which shows how much a score depends on the choice of pictures."""

from pathlib import Path

from prefect import flow

from atelier.flows.config.params import Params
from atelier.flows.runs.orphans import end_orphans, tag_with_process
from atelier.flows.runs.prefect_artifacts import table_artifact
from atelier.flows.runs.progress import show_progress
from atelier.flows.update import update
from atelier.tasks.evaluation import cross_validation as work
from atelier.tasks.registry.warm_start import initial_model
from atelier.tasks.runtime import cluster
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock


@flow(name="folds")
def cross_validate(root: str, folds: int) -> work.CrossValidation:
    """Bring the training set up to date; for each of `folds` folds train without it and measure on it."""
    workspace = Workspace(Path(root))
    tag_with_process(workspace.name)
    end_orphans()
    params = Params(workspace.params)
    update.with_options(flow_run_name=f"update {workspace.name} through augment")(root, until="augment")
    cluster.connect()
    cluster.preflight(workspace.root)
    # the pipeline must not rewrite the training set meanwhile
    with lock(workspace, "pipeline"), show_progress("folds") as report:
        given = workspace.dataset, workspace.augmented, initial_model(workspace, params.train)
        inputs = work.FoldInputs(params.train, params.evaluate, folds, *given)
        found = work.cross_validate(inputs, workspace.fold_runs, workspace.folds, report)
    table_artifact(root, "folds", found.table, f"{folds} folds of {found.training_set[:12]}")
    return found
