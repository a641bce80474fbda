"""The flow `augment`: write augmented variants of the training split."""

from pathlib import Path

from prefect import flow

from atelier.flows.config.params import Params
from atelier.flows.runs.orphans import tag_with_process
from atelier.flows.runs.prefect_artifacts import picture_artifact
from atelier.flows.runs.progress import show_progress
from atelier.tasks.dataset import augment as work
from atelier.tasks.workspace.layout import Workspace


@flow(name="augment")
def augment(root: str) -> work.AugmentSummary:
    """Write the training set and its contact sheet."""
    tag_with_process()
    workspace = Workspace(Path(root))
    config = Params(workspace.params).augment
    with show_progress("augment") as report:
        summary = work.augment(config, workspace.dataset, workspace.augmented, report)
    picture_artifact("contact-sheet", workspace.augmented / "contact_sheet.png", "Pictures of the training set")
    return summary
