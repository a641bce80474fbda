"""The pool of stylists: tasks go out in blocks to Ray Data's actors, answers come back as blocks are done."""

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

BLOCK_ROWS = 128  # pictures that one call of a stylist commits together
BLOCK_BYTES = 8 * 2**20  # of input files in one call, so that large pictures report progress too
GPU_ROWS = 16  # pictures that a GPU is handed together where files are opened elsewhere
WORKER_BYTES = 500 * 10**6  # memory of a stylist at rest
PIXEL_BYTES = 600  # memory that the default generator takes for each pixel of a picture that is painted whole
TILED_PIXEL_BYTES = 100  # and of one that is painted in tiles, with its file, its pixels and what is read ahead
FILTERS = 24  # channels at full size of the widest generators that these two hold for
WORTH_MEASURING = 500  # pictures: with fewer, trying all backends takes longer than it gains
FILE_PIXELS = 8  # pixels that a byte of a file may stand for; what is packed tighter is rarely large


def execution_for(
    model: Path, controls: Controls, config: ExecutionConfig, plan: ExecutionPlan | None, pictures: int
) -> Execution:
    """How a job runs its model, found out where it will run.

    Args:
        model: the model folder, readable on every node.
        controls: how it paints.
        config: what is asked for.
        plan: that the job began with; None lets one be chosen, by measurement where so many pictures are worth it.
        pictures: that are to be painted.

    Raises:
        ValueError: what is asked for is not possible, or the plan cannot be honoured here.
    """
    import ray

    gpus = ray.cluster_resources().get("GPU", 0)
    if config.device == "gpu" and not gpus:
        raise ValueError("device gpu is asked for, and the cluster has none: use auto or cpu")
    gpu = plan.device == "cuda" if plan else bool(gpus) and config.device != "cpu"
    large = pictures >= WORTH_MEASURING
    if plan:
        return run_on_worker(_resume, model, controls, plan, gpu=gpu, ends=large)
    return run_on_worker(_choose, model, controls, config, gpu, large, gpu=gpu, ends=large)


def run_on_worker(do: Callable[..., R], *arguments: Any, gpu: bool = False, ends: bool = False) -> R:
    """Call a function where stylists run; its own errors are raised here.

    Args:
        do: the function.
        arguments: its own.
        gpu: with a GPU.
        ends: its worker ends with it. Idle, it would keep its memory and a hundredth of a core; but the next call would
            not have to start one.
    """
    import ray

    from atelier.tasks.runtime import cluster

    once = {"max_calls": 1} if ends else {}
    task = ray.remote(num_cpus=0.5, num_gpus=1 if gpu else 0, max_retries=0, **once)(do)
    found: R = cluster.get_result(task.remote(*arguments))
    return found


def worker_count(plan: ExecutionPlan) -> int:
    """How many stylists the cluster has room for: one for each GPU, or for each CPU."""
    import ray

    resources = ray.cluster_resources()
    return int(resources["GPU"]) if plan.device == "cuda" else max(1, int(resources.get("CPU", 1)))


def _choose(model: Path, controls: Controls, config: ExecutionConfig, gpu: bool, measured: bool) -> Execution:
    from atelier.tasks.inference import backends

    return backends.choose_execution(model, controls, config, gpu, measured)


def _resume(model: Path, controls: Controls, plan: ExecutionPlan) -> Execution:
    from atelier.tasks.inference import backends

    return backends.resume_execution(model, controls, plan)


def report_pairs(tasks: Sequence[dict[str, Any]], destination: str, limits: ImageLimits) -> list[tuple[str, str]]:
    """Pairs for the report, see `job_report.pairs`; none where the worker that reads them dies."""
    from ray.exceptions import RayError

    from atelier.tasks.bulk import job_report

    try:
        return run_on_worker(job_report.pairs, tasks, destination, limits)
    except RayError:
        return []


def run_tasks(todo: pa.Table, order: JobSpec) -> Generator[pa.Table]:
    """Run the tasks on a pool of workers and yield their answers as they come."""
    import ray.data

    workers = worker_count(order.plan)
    blocks = list(_blocks(todo, workers))
    memory = _memory(FILE_PIXELS * pc.max(todo["size"]).as_py(), order)
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it would announce on the console that there are no bars
    context = ray.data.DataContext.get_current()
    shown, context.enable_progress_bars = context.enable_progress_bars, False
    try:
        dataset = ray.data.from_arrow(blocks)
        if splits_stages(order):
            dataset = _apart(dataset, order, min(workers, len(blocks)), memory)
        else:
            dataset = _together(dataset, order, min(workers, len(blocks)), memory)
        yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    finally:
        context.enable_progress_bars = shown


def splits_stages(order: JobSpec) -> bool:
    """Whether files are opened and written elsewhere than pictures are painted: where there are machines for either."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    helpers = any(node.get("CPU", 0) >= 1 and not node.get("GPU", 0) for node in nodes)
    return order.config.stages == "apart" or (order.config.stages == "auto" and order.plan.device == "cuda" and helpers)


def _together(dataset: "Dataset", order: JobSpec, workers: int, memory: int) -> "Dataset":
    """A pool of stylists, each of which takes pictures through all stages."""
    import ray.data

    cpus, gpu = max(1, int(ray.cluster_resources().get("CPU", 1))), order.plan.device == "cuda"
    return dataset.map_batches(
        StylizeWorker,
        fn_constructor_args=(order,),
        batch_size=BLOCK_ROWS if gpu else None,  # a block; Ray Data asks for a number where there are GPUs
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
        # all stylists together leave one CPU to whoever else needs one: a job that takes every CPU can hang
        num_cpus=math.floor(1e4 * (cpus - 1) / cpus) / 1e4 if cpus > 1 else 0.5,
        num_gpus=1 if gpu else None,
        memory=memory,
    )


def _apart(dataset: "Dataset", order: JobSpec, workers: int, memory: int) -> "Dataset":
    """A pool that paints, between tasks that open and tasks that write."""
    import ray.data

    gpu, light = order.plan.device == "cuda", without_network(order)

    def in_tasks(given: "Dataset", stage: Callable[..., Any]) -> "Dataset":
        return given.map_batches(
            stage,
            fn_kwargs={"order": light},
            batch_size=None,
            batch_format="pyarrow",
            # painting on processors takes most of the time, and leaves a quarter of a core to the files at either end
            num_cpus=1 if gpu else 0.25,
        )

    painted = in_tasks(dataset, read_block).map_batches(
        StylizeBlock,
        fn_constructor_args=(order,),
        batch_size=GPU_ROWS if gpu else None,
        batch_format="pyarrow",
        # all at once: a pool grows by what waits for it, and little does while files are opened as they are wanted
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
        num_cpus=0 if gpu else max(0.5, 1 - 0.5 / workers),
        num_gpus=1 if gpu else None,
        memory=memory,
    )
    return in_tasks(painted, write_block)


def _memory(pixels: int, order: JobSpec) -> int:
    """Of a worker that paints pictures of up to so many pixels: as many as have it run side by side, and always one."""
    import ray

    largest = max(node["Resources"].get("memory", 0) for node in ray.nodes() if node["Alive"])
    return int(min(WORKER_BYTES + image_memory(pixels, order), 0.9 * largest))


def image_memory(pixels: int, order: JobSpec) -> int:
    """Memory that a picture of so many pixels takes while it is in work, if it is not too large."""
    pixels, whole = min(pixels, limits_for(order.config, order.plan).max_pixels), order.plan.whole_pixels
    return int(_width(order.model) * max(PIXEL_BYTES * min(pixels, whole), TILED_PIXEL_BYTES * pixels))


def _width(model: Path) -> float:
    """How many times as many channels as the default generator one has, and so takes as much memory."""
    filters: int = ModelCard.read(model).config.get("filters", 0)
    return max(1.0, filters / FILTERS)


def _blocks(todo: pa.Table, workers: int) -> Iterator[pa.Table]:
    """Divide the tasks so that every stylist gets several blocks and none is long."""
    rows = min(BLOCK_ROWS, math.ceil(todo.num_rows / (4 * workers)))
    begin, size = 0, 0
    for index, bytes_ in enumerate(todo["size"].to_pylist()):
        if index > begin and (index - begin == rows or size + bytes_ > BLOCK_BYTES):
            yield todo.slice(begin, index - begin)
            begin, size = index, 0
        size += bytes_
    yield todo.slice(begin)
