"""The flow `evaluate`: measure the model on the held-out pictures."""

from pathlib import Path

from prefect import flow

from atelier.flows.config.params import Params
from atelier.flows.runs.orphans import tag_with_process
from atelier.flows.runs.prefect_artifacts import picture_artifact
from atelier.flows.runs.progress import show_progress
from atelier.tasks.evaluation import evaluate as work
from atelier.tasks.workspace.layout import Workspace


@flow(name="evaluate")
def evaluate(root: str) -> work.Evaluation:
    """Write `reports/evaluation.json` and the pictures beside it."""
    tag_with_process()
    workspace = Workspace(Path(root))
    config = Params(workspace.params).evaluate
    with show_progress("evaluate") as report:
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
