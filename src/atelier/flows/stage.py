"""What DVC runs: one stage of dvc.yaml, as a flow run of its own."""

from typing import Any

from prefect import Flow, tags

from atelier.flows.runs.orphans import reap
from atelier.tasks.runtime import cluster
from atelier.tasks.runtime.processes import die_with_parent
from atelier.tasks.workspace import stage_errors
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock


def run(name: str, workspace: Workspace) -> None:
    """Run the flow of a stage, alone and no longer than the DVC process that asked for it.

    DVC does not supervise: a stage whose DVC was killed would go on writing. So it dies with its parent, and holds a
    lock on its outputs while it lives.

    Args:
        name: "ingest", "augment", "train" or "evaluate".
        workspace: where.
    """
    die_with_parent()
    cluster.connect()
    cluster.preflight(workspace.root)
    reap()
    stage = _flow(name).with_options(flow_run_name=f"{name} {workspace.name}")
    with lock(workspace, name), tags(workspace.name):
        try:
            stage(str(workspace.root))
        except Exception as error:
            stage_errors.write_error(workspace, name, error)
            raise


def _flow(name: str) -> Flow[..., Any]:
    # a stage imports only what it runs
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
    raise ValueError(f"{name!r} is no stage of atelier's")
