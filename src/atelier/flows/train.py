"""The flow `train`: train the model on the training set."""

from dataclasses import replace
from pathlib import Path

from prefect import flow

from atelier.flows.config.params import Params
from atelier.flows.runs.orphans import tag_with_process
from atelier.flows.runs.prefect_artifacts import picture_artifact
from atelier.flows.runs.progress import show_progress
from atelier.tasks.registry.resolve import resolve
from atelier.tasks.registry.tags import MODEL
from atelier.tasks.registry.warm_start import SCRATCH, pinned_start
from atelier.tasks.training import train as work
from atelier.tasks.workspace.layout import Workspace


@flow(name="train")
def train(root: str) -> work.TrainSummary:
    """Train on the cluster's workers; a killed run continues from its last checkpoint."""
    tag_with_process()
    workspace = Workspace(Path(root))
    config = Params(workspace.params).train
    start = pinned_start(workspace)
    config = replace(config, start_from=start)  # the version that `start.lock` names
    initial = None if start == SCRATCH else resolve(workspace.main, f"{MODEL}@{start}").path
    with show_progress("train") as report:
        summary = work.train(
            config,
            workspace.augmented,
            workspace.model,
            workspace.checkpoints,
            workspace.training_logs,
            report,
            initial=initial,
        )
    picture_artifact("training-samples", workspace.model / "samples.png", "Training pictures, before and after")
    return summary
