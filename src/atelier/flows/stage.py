"""A stage of dvc.yaml as a flow run of its own: this is what DVC runs."""

from typing import Any

from prefect import Flow, tags

from atelier.flows.runs.orphans import end_orphans
from atelier.tasks.runtime import cluster
from atelier.tasks.runtime.processes import die_with_parent
from atelier.tasks.workspace import stage_errors
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock


def run(name: str, workspace: Workspace) -> None:
    """Run the flow of a stage, one at a time, and no longer than the DVC process that started it.

    DVC does not supervise its stages: after a kill of DVC a stage would go on writing. So the stage dies with its
    parent, and holds a lock on its outputs while it lives.

    Args:
        name: "ingest", "augment", "train" or "evaluate".
        workspace: of the stage.
    """
    die_with_parent()
    cluster.connect()
    cluster.preflight(workspace.root)
    end_orphans()
    stage = _flow(name).with_options(flow_run_name=f"{name} {workspace.name}")
    with lock(workspace, name), tags(workspace.name):
        try:
            stage(str(workspace.root))
        except Exception as error:
            stage_errors.write_error(workspace, name, error)
            raise


def _flow(name: str) -> Flow[..., Any]:
    # each stage imports only what it runs
    match name:
        case "ingest":
            from atelier.flows.ingest import ingest

            return ingest
        case "augment":
            from atelier.flows.augment import augment

            return augment
        case "train":
            from atelier.flows.train import train

            return train
        case "evaluate":
            from atelier.flows.evaluate import evaluate

            return evaluate
    raise ValueError(f"{name!r} is not a stage of atelier")
