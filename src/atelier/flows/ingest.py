"""The flow `ingest`: read the pictures of the sources into the dataset."""

from pathlib import Path

from prefect import flow
from prefect.artifacts import create_table_artifact

from atelier.flows.config.params import Params
from atelier.flows.runs.orphans import tag_with_process
from atelier.flows.runs.progress import show_progress
from atelier.tasks.dataset import ingest as work
from atelier.tasks.workspace.layout import Workspace


@flow(name="ingest")
def ingest(root: str) -> work.IngestSummary:
    """Read, screen and store the pictures that `sources.lock` names."""
    tag_with_process()
    workspace = Workspace(Path(root))
    config = Params(workspace.params).ingest
    with show_progress("ingest") as report:
        summary = work.ingest(config, workspace.main.root, workspace.sources_lock, workspace.dataset, report)
    rows = [{"domain": domain, **splits} for domain, splits in summary.rows.items()]
    create_table_artifact(rows, key="dataset", description=f"dataset {summary.dataset_id[:12]}")
    return summary
