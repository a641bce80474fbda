"""The worker pool of a bulk job: Ray Data sends blocks of tasks to actors and yields their results."""

import logging
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from atelier.models.card import ModelCard
from atelier.models.controls import Controls
from atelier.tasks.bulk.messages import JobSpec
from atelier.tasks.bulk.split_workers import StylizeBlock, read_block, without_network, write_block
from atelier.tasks.bulk.worker import StylizeWorker
from atelier.tasks.images.codec import ImageLimits
from atelier.tasks.inference.execution_plan import Execution, ExecutionConfig, ExecutionPlan
from atelier.tasks.inference.input_limits import limits_for

if TYPE_CHECKING:
    from ray.data import Dataset

R = TypeVar("R")

BLOCK_ROWS = 128  # pictures of one call of a worker
BLOCK_BYTES = 8 * 2**20  # input files of one call, so that large pictures report progress too
GPU_ROWS = 16  # pictures of one call of a worker that only stylizes, on a GPU
WORKER_BYTES = 500 * 10**6  # memory of an idle worker
PIXEL_BYTES = 600  # memory of the default generator for each pixel of a picture painted in one piece
TILED_PIXEL_BYTES = 100  # the same in tiles; includes the file, its pixels and prefetched files
ENLARGED_PIXEL_BYTES = 60  # the same of a picture that is painted smaller and enlarged, beside what is painted
FILTERS = 24  # channels at full resolution up to which these two numbers hold
WORTH_MEASURING = 500  # pictures; with fewer, measuring all backends takes longer than it saves
FILE_PIXELS = 8  # estimated pixels of one byte of a file; few large files are compressed more


def execution_for(
    model: Path, controls: Controls, config: ExecutionConfig, plan: ExecutionPlan | None, pictures: int
) -> Execution:
    """Choose how a job runs its model, on a node of the cluster.

    Args:
        model: the model folder, readable on every node.
        controls: of the model.
        config: the user's choices.
        plan: with which the job began; None chooses one, by measurement if there are enough pictures.
        pictures: number of pictures to stylize.

    Raises:
        ValueError: the choices are not possible here, or this cluster cannot follow the plan.
    """
    import ray

    gpus = ray.cluster_resources().get("GPU", 0)
    if config.device == "gpu" and not gpus:
        raise ValueError("device is gpu, but the cluster has no GPU: use auto or cpu")
    gpu = plan.device == "cuda" if plan else bool(gpus) and config.device != "cpu"
    large = pictures >= WORTH_MEASURING
    if plan:
        return run_on_worker(_resume, model, controls, plan, gpu=gpu, end_process=large)
    return run_on_worker(_choose, model, controls, config, gpu, large, gpu=gpu, end_process=large)


def run_on_worker(do: Callable[..., R], *arguments: Any, gpu: bool = False, end_process: bool = False) -> R:
    """Call a function on a node of the cluster; its own errors are raised here.

    Args:
        do: the function.
        arguments: of the function.
        gpu: whether it needs a GPU.
        end_process: whether its process ends afterwards. An idle process keeps its memory and a hundredth of a core,
            but saves the next call the start of one.
    """
    import ray

    from atelier.tasks.runtime import cluster

    once = {"max_calls": 1} if end_process else {}
    task = ray.remote(num_cpus=0.5, num_gpus=1 if gpu else 0, max_retries=0, **once)(do)
    found: R = cluster.get_result(task.remote(*arguments))
    return found


def worker_count(plan: ExecutionPlan) -> int:
    """Number of workers that fit on the cluster: one for each GPU, or for each CPU."""
    import ray

    resources = ray.cluster_resources()
    return int(resources["GPU"]) if plan.device == "cuda" else max(1, int(resources.get("CPU", 1)))


def _choose(model: Path, controls: Controls, config: ExecutionConfig, gpu: bool, measured: bool) -> Execution:
    from atelier.tasks.inference import backends

    return backends.choose_execution(model, controls, config, gpu, measured)


def _resume(model: Path, controls: Controls, plan: ExecutionPlan) -> Execution:
    from atelier.tasks.inference import backends

    return backends.resume_execution(model, controls, plan)


def report_pairs(tasks: Sequence[dict[str, Any]], destination: str, limits: ImageLimits) -> list[tuple[str, str, str]]:
    """Pairs of pictures for the report, see `job_report.pairs`; none if the process that reads them dies."""
    from ray.exceptions import RayError

    from atelier.tasks.bulk import job_report

    try:
        return run_on_worker(job_report.pairs, tasks, destination, limits)
    except RayError:
        return []


def run_tasks(todo: pa.Table, spec: JobSpec) -> Generator[pa.Table]:
    """Run tasks (`TASK_SCHEMA`) on a pool of workers; yields tables of results (`RESULT_SCHEMA`) as they arrive."""
    import ray.data

    workers = worker_count(spec.plan)
    blocks = list(_blocks(todo, workers))
    memory = _memory(FILE_PIXELS * pc.max(todo["size"]).as_py(), spec)
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it would report on the console that progress bars are off
    context = ray.data.DataContext.get_current()
    before, context.enable_progress_bars = context.enable_progress_bars, False
    try:
        dataset = ray.data.from_arrow(blocks)
        if splits_stages(spec):
            dataset = _split(dataset, spec, min(workers, len(blocks)), memory)
        else:
            dataset = _combined(dataset, spec, min(workers, len(blocks)), memory)
        yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    finally:
        context.enable_progress_bars = before


def splits_stages(spec: JobSpec) -> bool:
    """Whether files are read and written by other tasks than the model: if there are GPU nodes and CPU nodes."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    helpers = any(node.get("CPU", 0) >= 1 and not node.get("GPU", 0) for node in nodes)
    return spec.config.stages == "apart" or (spec.config.stages == "auto" and spec.plan.device == "cuda" and helpers)


def _combined(dataset: "Dataset", spec: JobSpec, workers: int, memory: int) -> "Dataset":
    """A pool of workers that run all stages."""
    import ray.data

    cpus, gpu = max(1, int(ray.cluster_resources().get("CPU", 1))), spec.plan.device == "cuda"
    return dataset.map_batches(
        StylizeWorker,
        fn_constructor_args=(spec,),
        batch_size=BLOCK_ROWS if gpu else None,  # a block; Ray Data requires a number for GPU actors
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
        # the pool leaves one CPU free: a job that takes every CPU can hang
        num_cpus=math.floor(1e4 * (cpus - 1) / cpus) / 1e4 if cpus > 1 else 0.5,
        num_gpus=1 if gpu else None,
        memory=memory,
    )


def _split(dataset: "Dataset", spec: JobSpec, workers: int, memory: int) -> "Dataset":
    """A pool of workers that run the model, between tasks that read and tasks that write."""
    import ray.data

    gpu, light = spec.plan.device == "cuda", without_network(spec)

    def map_in_tasks(given: "Dataset", stage: Callable[..., Any]) -> "Dataset":
        return given.map_batches(
            stage,
            fn_kwargs={"spec": light},
            batch_size=None,
            batch_format="pyarrow",
            # on CPUs the model takes most of the time; a quarter of a core is enough for files
            num_cpus=1 if gpu else 0.25,
        )

    painted = map_in_tasks(dataset, read_block).map_batches(
        StylizeBlock,
        fn_constructor_args=(spec,),
        batch_size=GPU_ROWS if gpu else None,
        batch_format="pyarrow",
        # start all workers: the pool grows with its queue, which stays short because files are read on demand
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
        num_cpus=0 if gpu else max(0.5, 1 - 0.5 / workers),
        num_gpus=1 if gpu else None,
        memory=memory,
    )
    return map_in_tasks(painted, write_block)


def _memory(pixels: int, spec: JobSpec) -> int:
    """Memory that Ray reserves for a worker, bytes: enough for pictures of this size, at most what a node has."""
    import ray

    largest = max(node["Resources"].get("memory", 0) for node in ray.nodes() if node["Alive"])
    return int(min(WORKER_BYTES + image_memory(pixels, spec), 0.9 * largest))


def image_memory(pixels: int, spec: JobSpec) -> int:
    """Peak memory of stylizing a picture of so many pixels, in bytes."""
    plan, painted = spec.plan, min(pixels, limits_for(spec.config, spec.plan).max_pixels)
    enlarged = 0.0
    if plan.reference_px:
        enlarged = ENLARGED_PIXEL_BYTES * painted
        painted = int(min(painted, plan.reference_px**2) / plan.stroke**2)
    painting = max(PIXEL_BYTES * min(painted, plan.whole_pixels), TILED_PIXEL_BYTES * painted)
    return int(_width(spec.model) * painting + enlarged)


def _width(model: Path) -> float:
    """Ratio of the generator's channels, and so of its memory, to the default generator's; at least 1."""
    filters: int = ModelCard.read(model).config.get("filters", 0)
    return max(1.0, filters / FILTERS)


def _blocks(todo: pa.Table, workers: int) -> Iterator[pa.Table]:
    """Split the tasks so that every worker gets several blocks and none is long."""
    rows = min(BLOCK_ROWS, math.ceil(todo.num_rows / (4 * workers)))
    begin, size = 0, 0
    for index, bytes_ in enumerate(todo["size"].to_pylist()):
        if index > begin and (index - begin == rows or size + bytes_ > BLOCK_BYTES):
            yield todo.slice(begin, index - begin)
            begin, size = index, 0
        size += bytes_
    yield todo.slice(begin)
