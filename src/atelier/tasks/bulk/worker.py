"""The worker of a bulk job that runs all stages: it reads ahead and writes behind in threads."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pyarrow as pa

from atelier.tasks.bulk.crash_markers import markers_of
from atelier.tasks.bulk.ledger import LedgerRow
from atelier.tasks.bulk.live_count import LiveCount
from atelier.tasks.bulk.messages import (
    JobSpec,
    JobStopped,
    StylizedInput,
    Task,
    read_tasks,
    result_table,
)
from atelier.tasks.bulk.prefetch import chunks, prefetch
from atelier.tasks.bulk.steps import (
    READ_CHUNK_BYTES,
    WRITE_CHUNK_BYTES,
    Reader,
    Stylizer,
    Writer,
    batch_images,
    pixel_bytes,
)

THREADS = {"cpu": 2, "cuda": 8}  # that read, and as many that write, by the device of the model


class StylizeWorker:
    """A worker: a table of tasks (`TASK_SCHEMA`) in, a table of results (`RESULT_SCHEMA`) out.

    A result in state "pending" means that the job must stop; its reason is the message for the user.
    """

    def __init__(self, spec: JobSpec) -> None:
        """Load the model. A failure is reported by the first call, as one that stops the job."""
        self.spec = spec
        self.markers = markers_of(spec)
        self.readers, self.writers = (ThreadPoolExecutor(THREADS[spec.device]) for _ in range(2))
        self.read, self.write = Reader(spec, self.markers), Writer(spec, self.markers)
        self.count = LiveCount(self.markers.folder)
        self.load_error: JobStopped | None = None
        try:
            self.stylize = Stylizer(spec, self.markers, self.count.add)
        except (ValueError, OSError) as error:
            self.load_error = JobStopped(str(error))

    def __call__(self, tasks: pa.Table) -> pa.Table:
        """Process every task; all states are durable when this returns."""
        rows: list[LedgerRow] = []
        todo = read_tasks(tasks)
        try:
            if self.load_error:
                raise self.load_error
            rows += self.markers.process(todo, self._process, self._crashed)
        except (JobStopped, OSError) as error:
            rows.append(self.spec.stopped(todo[0].input, error))
        return result_table(rows)

    def _process(self, tasks: list[Task]) -> list[LedgerRow]:
        """Process tasks and record their states."""
        written: list[Future[LedgerRow]] = []
        try:
            rows = list(self._submit_writes(tasks, written))
        finally:
            wait(written)  # a job that stops leaves no writer behind
        rows += [future.result() for future in written]
        self.write.record(rows)
        return rows

    def _crashed(self, task: Task, stage: str, exceeded: str) -> LedgerRow:
        row = self.spec.crashed(task, stage, exceeded)
        self.write.record([row])
        return row

    def _submit_writes(self, tasks: list[Task], written: list[Future[LedgerRow]]) -> Iterator[LedgerRow]:
        """Read and stylize tasks, submit the outputs to the writers, and yield the rows of failed inputs."""
        for chunk in chunks(self._stylized(tasks), pixel_bytes, WRITE_CHUNK_BYTES):
            for future in written:
                future.result()  # at most one chunk waits to be written
            for result in chunk:
                if isinstance(result, LedgerRow):
                    yield result
                else:
                    written.append(self.writers.submit(self.write, result))

    def _stylized(self, tasks: list[Task]) -> Iterator[StylizedInput | LedgerRow]:
        """Read and stylize tasks; rows are those of failed inputs."""
        files = chunks(tasks, lambda task: task.entry.size or READ_CHUNK_BYTES, READ_CHUNK_BYTES)
        for batch in batch_images(prefetch(self.readers, self.read, files, pixel_bytes), self.spec):
            results = [batch] if isinstance(batch, LedgerRow) else self.stylize(batch)
            self.count.add(sum(isinstance(one, LedgerRow) or one.decoded.chunk is None for one in results))
            yield from results
