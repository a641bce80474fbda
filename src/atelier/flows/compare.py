"""The flow `compare`: registered models and model folders side by side, each measured in a Ray task.

If a model cannot be measured, the others still are; the result names it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect_ray import RayTaskRunner
from prefect_ray.context import remote_options

from atelier.flows.config.params import Params
from atelier.flows.runs.orphans import end_orphans, tag_with_process
from atelier.flows.runs.prefect_artifacts import picture_artifact, text_artifact
from atelier.flows.runs.progress import show_progress
from atelier.flows.runs.ray_tasks import take_ended
from atelier.tasks.evaluation import compare as work
from atelier.tasks.evaluation.compare import Candidate, Comparison, ComparisonSpec, Measured
from atelier.tasks.runtime import cluster, progress
from atelier.tasks.runtime.errors import one_line
from atelier.tasks.runtime.progress import Progress
from atelier.tasks.workspace.layout import Workspace


@task(task_run_name="measure the untouched pictures", cache_policy=NO_CACHE)
def measure_untouched(spec: ComparisonSpec) -> int:
    """Measure the held-out pictures themselves once, for all models; the number of pictures."""
    return work.measure_untouched(spec)


@task(task_run_name="measure {candidate.name}", cache_policy=NO_CACHE)
def measure(spec: ComparisonSpec, candidate: Candidate, untouched: int) -> Measured:
    """Measure a model; `untouched` is the result of `measure_untouched`, which has to be done before."""
    return work.measure(spec, candidate, progress.to_file(_progress_file(spec, candidate)))


@flow(name="compare", task_runner=RayTaskRunner(), validate_parameters=False)
def compare(root: str, candidates: list[Candidate]) -> Comparison:
    """Measure every model on the same held-out pictures and write reports/comparison/.

    Raises:
        RuntimeError: no model could be measured.
    """
    workspace = Workspace(Path(root))
    tag_with_process(workspace.name)
    cluster.preflight(workspace.root)
    params = Params(workspace.params)
    content, size_px, cache = params.train.content, params.augment.size_px, workspace.comparison_cache
    spec = work.prepare(params.evaluate, workspace.dataset, content, size_px, cache, candidates)
    total = sum(spec.total(one) for one in candidates)
    measured: dict[str, Measured] = {}
    failed: dict[str, str] = {}
    with show_progress("compare") as report:
        report(Progress("compare", 0, total, "images", "measuring the untouched pictures"))
        for one in candidates:
            progress.clear_file(_progress_file(spec, one))
        with remote_options(num_cpus=0):  # the tasks that they start have CPUs
            untouched: Any = measure_untouched.submit(spec)
            waiting: dict[str, Sequence[Any]] = {one.name: [measure.submit(spec, one, untouched)] for one in candidates}
        while waiting:
            report(_progress(spec, candidates, set(waiting)))
            for name, found in take_ended(waiting).items():
                if isinstance(found, Measured):
                    measured[name] = found
                else:
                    failed[name] = one_line(found)
    if not measured:
        raise RuntimeError("; ".join(f"{name} could not be measured: {reason}" for name, reason in failed.items()))
    order = [measured[one.name] for one in candidates if one.name in measured]
    result = work.publish(workspace.comparison, spec, order, failed)
    text_artifact(root, "comparison", result.table.read_text(encoding="utf-8"))
    picture_artifact(root, "compared-pictures", result.grid, "The same pictures by every model")
    return result


def run(workspace: Workspace, candidates: list[Candidate]) -> Comparison:
    """Connect to the cluster first, because Prefect's task runner would start its own, and run the flow."""
    cluster.connect()
    end_orphans()
    return compare.with_options(flow_run_name=f"compare {workspace.name}")(str(workspace.root), candidates)


def _progress(spec: ComparisonSpec, candidates: list[Candidate], waiting: set[str]) -> Progress:
    """The progress of all models as one count of pictures."""
    done, notes = 0, []
    for one in candidates:
        written = progress.read_file(_progress_file(spec, one))
        total = spec.total(one)
        own = total if one.name not in waiting else written.done if written else 0
        done += own
        notes.append(f"{one.name} {own}/{total}")
    total = sum(spec.total(one) for one in candidates)
    return Progress("compare", done, total, "images", "  ".join(notes), images=done)


def _progress_file(spec: ComparisonSpec, candidate: Candidate) -> Path:
    """The progress file of a model's task."""
    return spec.cache / candidate.name.replace("/", "-")
