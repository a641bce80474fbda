"""The worker pool of a bulk job: actors that start before the execution plan is known, choose it, and take blocks.

Workers that run all stages are plain actors of Ray. Where stages are apart, see `split_workers`.
"""

import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from atelier.models.card import ModelCard
from atelier.models.controls import Controls
from atelier.tasks.bulk.admission import image_memory
from atelier.tasks.bulk.messages import JobSpec, JobStep
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.split_workers import run_apart
from atelier.tasks.bulk.worker import StylizeWorker
from atelier.tasks.images.codec import ImageLimits
from atelier.tasks.inference.execution_plan import (
    Execution,
    ExecutionConfig,
    ExecutionPlan,
    plan_for,
)

R = TypeVar("R")

BLOCK_ROWS = 128  # pictures of one call of a worker
BLOCK_BYTES = 8 * 2**20  # input files of one call, so that large pictures report progress too
WORKER_BYTES = 500 * 10**6  # memory of an idle worker
WORTH_MEASURING = 500  # pictures; with fewer, measuring all backends takes longer than it saves
FILE_PIXELS = 8  # estimated pixels of one byte of a file; few large files are compressed more


class PoolWorker:
    """An actor of the pool. It imports what painting needs at once; its job it is told later."""

    def __init__(self) -> None:
        import openvino  # noqa: F401

        from atelier.tasks.inference import backends  # noqa: F401

        self.worker: StylizeWorker | None = None

    def run(self, do: Callable[..., R], *arguments: Any) -> R:
        """Call a function in this process."""
        return do(*arguments)

    def stylize(self, spec: JobSpec, tasks: pa.Table) -> pa.Table:
        """A table of tasks (`TASK_SCHEMA`) to a table of results (`RESULT_SCHEMA`), all of one job."""
        self.worker = self.worker or StylizeWorker(spec)
        return self.worker(tasks)


class WorkerPool:
    """The workers of a job, on the cluster that this process is connected to; close it at the end.

    A worker that dies is started anew, and given its block again.
    """

    def __init__(self) -> None:
        self.kind = (0, 0, False)  # number of workers, bytes that each reserves, whether each has a GPU
        self.workers: list[Any] = []
        self.starting: dict[Any, Any] = {}  # workers that are not there yet, by the reference that tells
        self.free: list[Any] = []

    def start(self, workers: int, memory: int, gpu: bool) -> None:
        """Start so many workers, which reserve so many bytes each, unless these are the ones that there are."""
        import ray

        if self.kind == (workers, memory, gpu):
            return
        self.close()
        cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
        actor = ray.remote(
            # one CPU of the cluster stays free: other work is not kept waiting for a whole job
            num_cpus=math.floor(1e4 * (cpus - 1) / cpus) / 1e4 if cpus > 1 else 0.5,
            num_gpus=1 if gpu else 0,
            memory=memory,
            max_restarts=-1,
            max_task_retries=-1,
        )(PoolWorker)
        self.kind, self.workers = (workers, memory, gpu), [actor.remote() for _ in range(workers)]
        # without retries of Ray's own, each of which it tells on standard output, where results are
        self.starting = {worker.__ray_ready__.options(max_task_retries=0).remote(): worker for worker in self.workers}

    def start_for(self, tasks: pa.Table, spec: JobSpec) -> None:
        """Start the workers of a job: one if its stages are apart, which chooses the plan only."""
        workers, gpu = worker_count(spec.device), spec.device == "cuda"
        if splits_stages(spec):
            self.start(1, 0, gpu)
        else:
            self.start(min(workers, tasks.num_rows), _memory(tasks, spec), gpu)

    def run(self, do: Callable[..., R], *arguments: Any) -> R:
        """Call a function in the process of a worker that has nothing to do; its own errors are raised here."""
        from atelier.tasks.runtime import cluster

        if not self.workers:
            self.start(1, 0, gpu=False)
        while not self.free:
            self._await(self.starting)
        found: R = cluster.get_result(self.free[-1].run.options(max_task_retries=0).remote(do, *arguments))
        return found

    def results(self, tasks: pa.Table, spec: JobSpec) -> Generator[pa.Table]:
        """Run tasks (`TASK_SCHEMA`); yields tables of results (`RESULT_SCHEMA`) as they arrive."""
        import ray

        workers = worker_count(spec.device)
        blocks = _blocks(tasks, workers)
        if splits_stages(spec):
            self.close()  # its worker would keep a CPU
            yield from run_apart(blocks, spec, min(workers, tasks.num_rows), _memory(tasks, spec))
            return
        self.start_for(tasks, spec)
        todo, running, given, result = deque(blocks), dict[Any, Any](), ray.put(spec), None
        while todo or running:
            while todo and self.free:  # the others are starting; the cluster may never have room for them
                worker = self.free.pop()
                running[worker.stylize.remote(given, todo.popleft())] = worker
            if isinstance(result, pa.Table):
                yield result
            result = self._await(running, self.starting)
        yield result

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        import ray

        for worker in self.workers:
            ray.kill(worker)
        self.kind, self.workers, self.starting, self.free = (0, 0, False), [], {}, []

    def _await(self, *waiting: dict[Any, Any]) -> Any:
        """The first answer of workers, which have nothing to do then."""
        from ray.exceptions import RayActorError

        from atelier.tasks.runtime import cluster
        from atelier.tasks.runtime.ray_driver import wait_for

        ref, _ = wait_for([ref for some in waiting for ref in some])
        (asked,) = (some for some in waiting if ref in some)
        worker = asked.pop(ref)
        try:
            answer = cluster.get_result(ref)
        except RayActorError:
            if asked is not self.starting:
                raise
            self.starting[worker.__ray_ready__.remote()] = worker  # it died as it started, and starts anew
            return self._await(*waiting)
        self.free.append(worker)
        return answer


def job_steps(
    request: StylizeRequest, controls: Sequence[Controls], plans: Sequence[ExecutionPlan]
) -> tuple[JobStep, ...]:
    """The models of a job, with the plans that it began with, or else with what is known before they are chosen.

    Raises:
        ValueError: as `expected_plan`.
    """
    steps = []
    for index, (step, one) in enumerate(zip(request.steps, controls, strict=True)):
        model = step.model.absolute()
        plan = plans[index] if plans else expected_plan(model, one, request.config.execution)
        steps.append(JobStep(model, step.identity, one, Execution(plan)))
    return tuple(steps)


def expected_plan(model: Path, controls: Controls, config: ExecutionConfig) -> ExecutionPlan:
    """What is known of a plan before it is chosen: device, strokes and scale; memory seldom depends on more.

    Raises:
        ValueError: the cluster has no GPU, and one is asked for.
    """
    import ray

    gpus = ray.cluster_resources().get("GPU", 0)
    if config.device == "gpu" and not gpus:
        raise ValueError("device is gpu, but the cluster has no GPU: use auto or cpu")
    plan = ExecutionPlan(device="cuda" if gpus and config.device != "cpu" else "cpu")
    return plan_for(plan, ModelCard.read(model).settings, controls)


def executions_for(pool: WorkerPool, spec: JobSpec, pictures: int) -> list[Execution]:
    """Choose how a job runs its models, in a process of a worker.

    Args:
        pool: of the job.
        spec: with the plans that the job began with, or the expected ones, which have no version.
        pictures: number of pictures to stylize; plans are chosen by measurement if there are enough.

    Raises:
        ValueError: the choices are not possible here, or this cluster cannot follow the plans.
    """
    gpu, measured = spec.device == "cuda", pictures >= WORTH_MEASURING
    return [
        pool.run(_resume, step.model, step.controls, plan)
        if plan.version
        else pool.run(_choose, step.model, step.controls, spec.config.execution, gpu, measured)
        for step, plan in zip(spec.steps, spec.plans, strict=True)
    ]


def worker_count(device: str) -> int:
    """Number of workers that fit on the cluster: one for each GPU, or for each CPU."""
    import ray

    resources = ray.cluster_resources()
    return int(resources["GPU"]) if device == "cuda" else max(1, int(resources.get("CPU", 1)))


def _choose(model: Path, controls: Controls, config: ExecutionConfig, gpu: bool, measured: bool) -> Execution:
    from atelier.tasks.inference import backends

    return backends.choose_execution(model, controls, config, gpu, measured)


def _resume(model: Path, controls: Controls, plan: ExecutionPlan) -> Execution:
    from atelier.tasks.inference import backends

    return backends.resume_execution(model, controls, plan)


def report_pairs(
    pool: WorkerPool, tasks: Sequence[dict[str, Any]], destination: str, limits: ImageLimits
) -> list[tuple[str, str, str]]:
    """Pairs of pictures for the report, see `job_report.pairs`; none if the process that reads them dies."""
    from ray.exceptions import RayError

    from atelier.tasks.bulk import job_report

    try:
        return pool.run(job_report.pairs, tasks, destination, limits)
    except RayError:
        return []


def splits_stages(spec: JobSpec) -> bool:
    """Whether files are read and written by other tasks than the model: if there are GPU nodes and CPU nodes."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    helpers = any(node.get("CPU", 0) >= 1 and not node.get("GPU", 0) for node in nodes)
    return spec.config.stages == "apart" or (spec.config.stages == "auto" and spec.device == "cuda" and helpers)


def _memory(tasks: pa.Table, spec: JobSpec) -> int:
    """Memory that Ray reserves for a worker, bytes: enough for the largest file, at most what a node has."""
    import ray

    pixels = FILE_PIXELS * max(_sizes(tasks))
    largest = max(node["Resources"].get("memory", 0) for node in ray.nodes() if node["Alive"])
    return int(min(WORKER_BYTES + image_memory(pixels, spec), 0.9 * largest))


def _sizes(tasks: pa.Table) -> list[int]:
    """Bytes of each task's file; of a chunk, what a file with as many pixels would have."""
    sizes: list[int] = pc.coalesce(pc.divide(tasks["pixels"], FILE_PIXELS), tasks["size"]).to_pylist()
    return sizes


def _blocks(todo: pa.Table, workers: int) -> list[pa.Table]:
    """Split the tasks so that every worker gets several blocks and none is long."""
    rows = min(BLOCK_ROWS, math.ceil(todo.num_rows / (4 * workers)))
    blocks, begin, size = [], 0, 0
    for index, bytes_ in enumerate(_sizes(todo)):
        if index > begin and (index - begin == rows or size + bytes_ > BLOCK_BYTES):
            blocks.append(todo.slice(begin, index - begin))
            begin, size = index, 0
        size += bytes_
    return [*blocks, todo.slice(begin)]
