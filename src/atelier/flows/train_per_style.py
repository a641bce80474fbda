"""The flow `each-style`: a model for every style of the training set, trained in parallel as Ray tasks.

If a style fails, the others are still trained, measured and registered; the flow fails at its end and names it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect_ray import RayTaskRunner
from prefect_ray.context import remote_options

from atelier.flows.config.params import Params
from atelier.flows.runs.orphans import end_orphans, tag_with_process
from atelier.flows.runs.prefect_artifacts import picture_artifact, table_artifact, text_artifact
from atelier.flows.runs.progress import show_progress
from atelier.flows.runs.ray_tasks import take_ended
from atelier.flows.update import update
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.evaluation.gate import GateConfig
from atelier.tasks.evaluation.protocol import EvaluateConfig
from atelier.tasks.registry import per_style as work
from atelier.tasks.registry.refusal_advice import next_steps
from atelier.tasks.registry.release import ReleaseResult
from atelier.tasks.registry.warm_start import initial_model
from atelier.tasks.runtime import cluster
from atelier.tasks.runtime.errors import one_line
from atelier.tasks.runtime.progress import Progress
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.training.placement import place
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock


@dataclass(frozen=True)
class StyleResult:
    """The result of a style."""

    style: str
    trained: bool  # False if its model is up to date
    release: ReleaseResult
    next_steps: tuple[str, ...]  # what to do about a refusal, the most useful first

    @property
    def summary(self) -> str:
        """The result in a few lines."""
        done = "trained" if self.trained else "unchanged"
        head = f"{self.style}: {done}, {self.release.model}@{self.release.version} {self.release.decision}"
        lines = [head, *(f"  {reason}" for reason in self.release.reasons)]
        return "\n".join([*lines, *(f"  next: {step}" for step in self.next_steps)])


@task(task_run_name="train {style}", cache_policy=NO_CACHE)
def train(root: str, style: str, config: TrainConfig, initial: Path | None) -> bool:
    """Train a style with the CPUs and the GPU of this Ray task; False if its model is up to date."""
    return work.train_style(Workspace(Path(root)), config, style, initial)


@task(task_run_name="evaluate {style}", cache_policy=NO_CACHE)
def evaluate(root: str, style: str, config: EvaluateConfig, trained: bool) -> bool:
    """Measure the style's model, and return `trained`, on which the order of the two tasks depends."""
    work.evaluate_style(Workspace(Path(root)), config, style)
    return trained


@task(task_run_name="gate and register {style}", cache_policy=NO_CACHE)
def release(root: str, style: str, config: EvaluateConfig, gate: GateConfig) -> ReleaseResult:
    """Register the style's model, and promote it if it passes."""
    workspace = Workspace(Path(root))
    result = work.release_style(workspace, config, gate, style)
    reasons = "\n".join(f"- {reason}" for reason in result.reasons)
    head = f"## {result.model} {result.version} (style {result.style}): {result.decision}"
    text_artifact(root, f"{style}-decision", f"{head}\n\n{reasons}")
    grid = workspace.style_reports(result.model) / "evaluation" / "grid.png"
    picture_artifact(root, f"{style}-before-after", grid, f"{style}: held-out pictures, before and after")
    return result


@flow(name="each-style", task_runner=RayTaskRunner())
def each_style(root: str) -> list[StyleResult]:
    """Train, measure and register every style.

    Raises:
        RuntimeError: some failed; the message names them.
    """
    workspace = Workspace(Path(root))
    tag_with_process(workspace.name)
    params = Params(workspace.params)
    update.with_options(flow_run_name=f"update {workspace.name} through augment")(root, until="augment")
    cluster.preflight(workspace.root)
    styles = work.list_styles(read_card(workspace.augmented), params.train)
    initial = initial_model(workspace, params.train)
    placement = place(len(styles), 1, params.train.device)
    done: list[StyleResult] = []
    failed: dict[str, str] = {}
    # the pipeline must not rewrite the training set meanwhile
    with lock(workspace, "pipeline"), show_progress("styles") as report:
        each = f"{placement.cpus} CPUs" + (" and a GPU" if placement.gpu else "")
        report(Progress("styles", 0, 0, "steps", f"starting: {placement.now} at a time, each with {each}"))
        futures: dict[str, Sequence[Any]] = {}
        for style in styles:
            work.clear_progress(workspace, style)
            resources = {"num_cpus": placement.cpus, "num_gpus": int(placement.gpu)}
            with remote_options(**resources, max_retries=params.train.max_failures):
                trained: Any = train.submit(root, style, params.train, initial)
            with remote_options(num_cpus=0):  # the tasks that it starts have CPUs
                futures[style] = trained, evaluate.submit(root, style, params.evaluate, trained)
        while futures:
            report(_progress(workspace, params.train, styles, set(futures)))
            for style, found in take_ended(futures).items():
                try:
                    if isinstance(found, Exception):
                        raise found
                    released = release(root, style, params.evaluate, params.gate)
                    evaluation = workspace.style_reports(released.model) / "evaluation.json"
                    done.append(StyleResult(style, found, released, next_steps(released, evaluation, params.train)))
                except Exception as error:  # noqa: BLE001 (the others go on; the flow fails at its end)
                    failed[style] = one_line(error)
    columns = ("style", "model", "version", "decision")
    rows = [
        {name: getattr(one.release, name) for name in columns} | {"reasons": "; ".join(one.release.reasons)}
        for one in done
    ]
    table_artifact(root, "styles", rows, f"{len(done)} of {len(styles)} styles")
    if failed:
        reasons = "; ".join(f"{style} ({reason})" for style, reason in failed.items())
        rest = f", {len(done)} registered" if done else ""
        raise RuntimeError(f"{len(failed)} of {len(styles)} styles failed: {reasons}{rest}")
    return sorted(done, key=lambda style: style.style)


def run(workspace: Workspace) -> list[StyleResult]:
    """Connect to the cluster first, because Prefect's task runner would start its own, and run the flow."""
    cluster.connect()
    end_orphans()
    return each_style.with_options(flow_run_name=f"each style {workspace.name}")(str(workspace.root))


def _progress(workspace: Workspace, config: TrainConfig, styles: list[str], running: set[str]) -> Progress:
    """The progress of all styles as one count of steps."""
    loop, done, notes = config.loop, 0, []
    for style in styles:
        written = work.read_progress(workspace, style)
        if style not in running or (written and written.stage == "evaluate"):
            done += loop.steps
            notes.append(f"{style} {'evaluating' if style in running else 'ended'}")
        else:
            done += written.done if written else 0
            notes.append(f"{style} {written.done}/{written.total}" if written else f"{style} waiting")
    total = loop.steps * len(styles)
    return Progress("styles", done, total, "steps", "  ".join(notes), images=done * loop.batch_size)
