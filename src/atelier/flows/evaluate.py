"""Evaluate: the model is measured on the pictures that were held out."""

from pathlib import Path

from prefect import flow

from atelier.flows.config.params import Params
from atelier.flows.runs.artifacts import picture_artifact
from atelier.flows.runs.orphans import claim
from atelier.flows.runs.progress import shown
from atelier.tasks.evaluation import evaluate as work
from atelier.tasks.workspace.layout import Workspace


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
