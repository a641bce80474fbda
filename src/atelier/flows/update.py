"""The flow `update`: scan the sources and run the stages of the pipeline that are out of date."""

from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from atelier.flows.config.params import Params
from atelier.flows.runs.orphans import tag_with_process
from atelier.flows.runs.progress import show_progress
from atelier.flows.runs.terminal import say, waiting
from atelier.tasks.dataset import ingest as ingestion
from atelier.tasks.dataset.source_lock import ScanSummary
from atelier.tasks.registry import warm_start
from atelier.tasks.runtime.progress import Progress
from atelier.tasks.workspace import pipeline
from atelier.tasks.workspace.layout import Workspace


@task(task_run_name="scan the sources", cache_policy=NO_CACHE)
def scan(root: str, lock: Path | None = None) -> ScanSummary:
    """List the files of the sources in the workspace's `sources.lock`, or in another file."""
    workspace = Workspace(Path(root))
    config = Params(workspace.params).ingest
    with waiting("listing the files of the sources"):
        return ingestion.scan(config, workspace.main.root, lock or workspace.sources_lock)


@task(task_run_name="{stage}", cache_policy=NO_CACHE)
def reproduce(root: str, stage: str) -> str:
    """Run a stage with DVC if anything it depends on has changed."""
    workspace = Workspace(Path(root))
    if stage == "train":
        warm_start.pin_start(workspace, Params(workspace.params).train)
    with show_progress(stage) as report:
        became = pipeline.reproduce(workspace, stage, report, say)
        if became != "ran":
            report(Progress(stage, 0, 0, became))
    return became


@flow(name="update")
def update(root: str, until: str) -> dict[str, str]:
    """Bring the workspace up to date through the stage `until`, in DVC's own order."""
    workspace = Workspace(Path(root))
    tag_with_process(workspace.name)
    order = pipeline.stages(workspace)
    scan(root)
    return {stage: reproduce(root, stage) for stage in order[: order.index(until) + 1]}
