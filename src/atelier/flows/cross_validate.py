"""Folds: how much a score owes to the pictures it was taken on."""

from pathlib import Path

from prefect import flow, tags
from prefect.artifacts import create_table_artifact

from atelier.flows.config.params import Params
from atelier.flows.runs.orphans import claim, reap
from atelier.flows.runs.progress import shown
from atelier.flows.update import update
from atelier.tasks.evaluation import cross_validation as work
from atelier.tasks.runtime import cluster
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock


@flow(name="folds")
def cross_validate(root: str, folds: int) -> work.Folds:
    """Bring the training set up to date, then train without each of `folds` folds and measure on it."""
    claim()
    reap()
    workspace = Workspace(Path(root))
    params = Params(workspace.params)
    update.with_options(flow_run_name=f"update {workspace.name} through augment")(root, until="augment")
    cluster.connect()
    cluster.preflight(workspace.root)
    # the pipeline would write the training set anew meanwhile
    with lock(workspace, "pipeline"), tags(workspace.name), shown("folds") as report:
        found = work.cross_validate(
            params.train,
            params.evaluate,
            folds,
            workspace.dataset,
            workspace.augmented,
            workspace.fold_runs,
            workspace.folds,
            report,
        )
    create_table_artifact(found.table, key="folds", description=f"{folds} folds of {found.training_set[:12]}")
    return found
