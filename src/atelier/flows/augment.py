"""Augment: the dataset's training split becomes the varied training set."""

from pathlib import Path

from prefect import flow

from atelier.flows.config.params import Params
from atelier.flows.runs.artifacts import picture_artifact
from atelier.flows.runs.orphans import claim
from atelier.flows.runs.progress import shown
from atelier.tasks.dataset import augment as work
from atelier.tasks.workspace.layout import Workspace


@flow(name="augment")
def augment(root: str) -> work.AugmentSummary:
    """Write the training set and its contact sheet."""
    claim()
    workspace = Workspace(Path(root))
    config = Params(workspace.params).augment
    with shown("augment") as report:
        summary = work.augment(config, workspace.dataset, workspace.augmented, report)
    picture_artifact("contact-sheet", workspace.augmented / "contact_sheet.png", "What the model will see")
    return summary
