"""Retrain: from whatever is in the sources now to a judged, registered model and a report.

DVC knows the order of the stages and which of them have anything to do; the gate, the registry and the report depend
on versions, which are no files of the pipeline, and come after it.
"""

from dataclasses import dataclass
from pathlib import Path

from prefect import flow, tags, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from atelier.flows.params import Params
from atelier.flows.pictures import picture_artifact
from atelier.flows.report import write
from atelier.tasks import ingest as ingestion
from atelier.tasks import pipeline, versions
from atelier.tasks.sources_lock import ScanSummary
from atelier.tasks.versions import Release
from atelier.tasks.workspace import Workspace


@dataclass(frozen=True)
class Night:
    """What one run of the pipeline came to."""

    stages: dict[str, str]  # each stage: "ran", "restored" (from what DVC keeps) or "unchanged"
    version: str  # the registered version of the model that the workspace holds now
    decision: str  # "promoted", "registered" or "refused"
    reasons: tuple[str, ...]  # why, in sentences
    report: str  # path of the HTML report

    @property
    def story(self) -> str:
        """The run in a few lines."""
        by_state = {state: [n for n, s in self.stages.items() if s == state] for state in ("ran", "restored")}
        lines = [f"{state} {', '.join(names)}" for state, names in by_state.items() if names]
        lines = lines or ["nothing changed: no stage had anything to do"]
        lines += [f"model {self.version}: {self.decision}", *(f"  {reason}" for reason in self.reasons)]
        return "\n".join([*lines, f"report: {self.report}"])


@task(task_run_name="scan the sources")
def scan(root: str) -> ScanSummary:
    """Look at what is in the sources now."""
    workspace = Workspace(Path(root))
    return ingestion.scan(Params(workspace.params).ingest, workspace.root, workspace.sources_lock)


@task(task_run_name="{stage}")
def reproduce(root: str, stage: str) -> str:
    """Let DVC run a stage if anything it depends on has changed."""
    return pipeline.reproduce(Workspace(Path(root)), stage)


@task(task_run_name="gate and register")
def release(root: str) -> Release:
    """Hold the model against the thresholds and against `prod`; register it, and promote it if it passes."""
    workspace = Workspace(Path(root))
    result = versions.release(workspace, Params(workspace.params).gate)
    reasons = "\n".join(f"- {reason}" for reason in result.reasons)
    create_markdown_artifact(f"## {result.version}: {result.decision}\n\n{reasons}", key="decision")
    return result


@task(task_run_name="report")
def publish(root: str) -> str:
    """Write the report, and show the held-out pictures before and after."""
    workspace = Workspace(Path(root))
    picture_artifact("before-after", workspace.evaluation_pictures / "grid.png", "Held-out pictures, before and after")
    return str(write(workspace))


@flow(name="update")
def update(root: str, until: str) -> dict[str, str]:
    """Bring the workspace up to date through the stage `until`."""
    return _stages(root, until)


@flow(name="retrain")
def retrain(root: str, trust: bool = False) -> Night:
    """Run the pipeline, judge the model, register it and write the report.

    Args:
        root: the workspace's folder.
        trust: also run stages whose command is not atelier's own.
    """
    pipeline.check_trust(Workspace(Path(root)), trust)
    states = _stages(root, until=None)
    result = release(root)
    report = publish(root)
    return Night(states, result.version, result.decision, tuple(result.reasons), report)


def serve(root: Path, cron: str, timezone: str, trust: bool) -> None:
    """Serve `retrain` on a schedule until interrupted.

    Args:
        root: the workspace's folder.
        cron: five fields, such as "0 2 * * *".
        timezone: an IANA name, such as "Europe/Berlin".
        trust: as in `retrain`.

    Raises:
        ValueError: the cron expression or the time zone is none.
    """
    try:
        schedule = Cron(cron, timezone=timezone)
    except ValueError as error:
        raise ValueError(
            f"no schedule: {cron!r} in {timezone!r}; write it like '0 2 * * *' in Europe/Berlin"
        ) from error
    retrain.serve(
        name=root.name,
        schedule=schedule,
        parameters={"root": str(root), "trust": trust},
        # a night that meets the one before it is dropped, and a server that was away leaves no queue of nights behind
        global_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        pause_on_shutdown=False,
        print_starting_message=False,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _stages(root: str, until: str | None) -> dict[str, str]:
    """Scan the sources, then offer each stage to DVC in DVC's own order, the last of them `until`."""
    workspace = Workspace(Path(root))
    order = pipeline.stages(workspace)
    if until is not None:
        order = order[: order.index(until) + 1]
    with tags(workspace.root.name):
        scan(root)
        return {stage: reproduce(root, stage) for stage in order}
