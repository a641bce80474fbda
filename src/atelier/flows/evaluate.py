"""Evaluate: the model is measured on the pictures that were held out."""

from pathlib import Path

from prefect import flow

from atelier.flows.params import Params
from atelier.flows.pictures import picture_artifact
from atelier.flows.progress import shown
from atelier.flows.reaping import claim
from atelier.tasks import evaluation as work
from atelier.tasks.workspace import Workspace


@flow(name="evaluate")
def evaluate(root: str) -> work.Evaluation:
    """Write `reports/evaluation.json` and the pictures beside it."""
    claim()
    workspace = Workspace(Path(root))
    config = Params(workspace.params).evaluate
    with shown("evaluate") as report:
        summary = work.evaluate(
            config,
            workspace.dataset,
            workspace.model,
            workspace.evaluation,
            workspace.evaluation_pictures,
            workspace.evaluation_cache,
            report,
        )
    picture_artifact("before-after", workspace.evaluation_pictures / "grid.png", "Held-out pictures, before and after")
    return summary
