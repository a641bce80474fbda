"""Workers of a bulk job whose stages run on different machines: files on CPU nodes, the model on GPU nodes.

    tasks -> read, decode (Ray tasks) -> stylize (actors, one a GPU) -> write, record (Ray tasks) -> results

Between the stages, inputs travel through Ray's object store.
"""

import logging
import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from atelier.tasks.bulk.crash_markers import markers_of
from atelier.tasks.bulk.ledger import LedgerRow
from atelier.tasks.bulk.messages import (
    DecodedInput,
    JobSpec,
    JobStopped,
    StylizedInput,
    Task,
    read_tasks,
    result_table,
)
from atelier.tasks.bulk.prefetch import prefetch
from atelier.tasks.bulk.steps import Reader, Stylizer, Writer, batch_images, pixel_bytes
from atelier.tasks.inference.execution_plan import Execution

if TYPE_CHECKING:
    from ray.data import Dataset

GPU_ROWS = 16  # pictures of one call of a worker on a GPU
THREADS = 2  # of a task: one waits for a file while the other computes
# a DecodedInput, a StylizedInput or a LedgerRow in each row, pickled as Ray itself would
PICKLED_SCHEMA = pa.schema({"pickled": pa.large_binary()})


def run_apart(blocks: list[pa.Table], spec: JobSpec, workers: int, memory: int) -> Iterator[pa.Table]:
    """Run blocks of tasks on workers that run the model, between tasks that read and tasks that write.

    Args:
        blocks: tables of tasks (`TASK_SCHEMA`).
        spec: of the job.
        workers: that run the model, at most.
        memory: that each of them reserves, bytes.

    Yields:
        Tables of results (`RESULT_SCHEMA`).
    """
    import ray.data

    gpu, light = spec.device == "cuda", without_networks(spec)

    def map_in_tasks(given: "Dataset", stage: Callable[..., Any]) -> "Dataset":
        return given.map_batches(
            stage,
            fn_kwargs={"spec": light},
            batch_size=None,
            batch_format="pyarrow",
            # on CPUs the model takes most of the time; a quarter of a core is enough for files
            num_cpus=1 if gpu else 0.25,
        )

    logging.getLogger("ray.data").setLevel(logging.ERROR)  # it would report on the console that progress bars are off
    context = ray.data.DataContext.get_current()
    before, context.enable_progress_bars = context.enable_progress_bars, False
    try:
        painted = map_in_tasks(ray.data.from_arrow(blocks), read_block).map_batches(
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
        results = map_in_tasks(painted, write_block)
        yield from results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    finally:
        context.enable_progress_bars = before


def without_networks(spec: JobSpec) -> JobSpec:
    """The specification for tasks that do not run the models: networks in ONNX are large."""
    return spec.with_executions([Execution(plan) for plan in spec.plans])


def read_block(tasks: pa.Table, spec: JobSpec) -> Iterator[pa.Table]:
    """Read and decode tasks (`TASK_SCHEMA`); yields tables of `PICKLED_SCHEMA` with inputs and rows of failed ones."""
    todo, markers = read_tasks(tasks), markers_of(spec)
    reader = Reader(spec, markers)

    def decode(some: list[Task]) -> Iterator[DecodedInput | LedgerRow]:
        with ThreadPoolExecutor(THREADS) as threads:
            yield from prefetch(threads, reader, ([task] for task in some), pixel_bytes)

    try:
        for each in markers.process(todo, decode, spec.crashed):
            yield _pickled([each])
    except (JobStopped, OSError) as error:
        yield _pickled([spec.stopped(todo[0].input, error)])


class StylizeBlock:
    """An actor of Ray Data: decoded inputs in, stylized inputs out, both in tables of `PICKLED_SCHEMA`.

    Args:
        spec: of the job.
    """

    def __init__(self, spec: JobSpec) -> None:
        """Load the model. A failure is reported by each call, because Ray would retry an exception here."""
        self.spec, self.markers = spec, markers_of(spec, "stylize")
        self.load_error: JobStopped | None = None
        try:
            self.stylize = Stylizer(spec, self.markers)
        except (ValueError, OSError) as error:
            self.load_error = JobStopped(str(error))

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """Stylize the inputs; rows pass unchanged."""
        values = _unpickled(table)
        rows = [each for each in values if isinstance(each, LedgerRow)]
        decoded = [each for each in values if isinstance(each, DecodedInput)]
        if rows:
            yield _pickled(rows)
        if not decoded:
            return
        try:
            if self.load_error:
                raise self.load_error
            for result in self.markers.process(decoded, self._stylized, self._crashed):
                yield _pickled([result])
        except (JobStopped, OSError) as error:
            yield _pickled([self.spec.stopped(decoded[0].input, error)])

    def _stylized(self, decoded: list[DecodedInput]) -> Iterator[StylizedInput | LedgerRow]:
        for batch in batch_images(decoded, self.spec):
            yield from [batch] if isinstance(batch, LedgerRow) else self.stylize(batch)

    def _crashed(self, decoded: DecodedInput, stage: str, exceeded: str) -> LedgerRow:
        return self.spec.crashed(decoded.task, stage, exceeded)


def write_block(table: pa.Table, spec: JobSpec) -> pa.Table:
    """Write stylized inputs (`PICKLED_SCHEMA`) and record all states, which are durable when this returns.

    Returns:
        A table of `RESULT_SCHEMA`. A result in state "pending" means that the job must stop; its reason is the message
        for the user.
    """
    values, markers = _unpickled(table), markers_of(spec, "encode")
    writer = Writer(spec, markers)
    rows = [each for each in values if isinstance(each, LedgerRow)]
    stylized = [each for each in values if isinstance(each, StylizedInput)]

    def write(some: list[StylizedInput]) -> Iterator[LedgerRow]:
        with ThreadPoolExecutor(THREADS) as threads:
            yield from prefetch(threads, writer, ([one] for one in some), pixel_bytes)

    def crashed(one: StylizedInput, stage: str, exceeded: str) -> LedgerRow:
        return spec.crashed(one.decoded.task, stage, exceeded)

    try:
        rows += markers.process(stylized, write, crashed) if stylized else []
        writer.record([row for row in rows if row.state != "pending"])
    except (JobStopped, OSError) as error:
        rows.append(spec.stopped(values[0].input, error))
    return result_table(rows)


def _pickled(values: Iterable[DecodedInput | StylizedInput | LedgerRow]) -> pa.Table:
    return pa.table({"pickled": [pickle.dumps(value, protocol=5) for value in values]}, PICKLED_SCHEMA)


def _unpickled(table: pa.Table) -> list[DecodedInput | StylizedInput | LedgerRow]:
    return [pickle.loads(value) for value in table["pickled"].to_pylist()]
