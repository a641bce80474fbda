"""The worker of a bulk job that takes pictures through all stages: it opens ahead and writes behind, in threads."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pyarrow as pa

from atelier.tasks.bulk.crash_markers import CrashMarkers
from atelier.tasks.bulk.ledger import LedgerRow
from atelier.tasks.bulk.messages import (
    JobSpec,
    JobStopped,
    StylizedInput,
    Task,
    read_tasks,
    result_table,
    write_error_text,
)
from atelier.tasks.bulk.prefetch import ahead, handfuls
from atelier.tasks.bulk.steps import OPENED_BYTES, PAINTED_BYTES, Reader, Stylizer, Writer, batch_images, pixel_bytes
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.storage.open_destination import open_destination

THREADS = {"cpu": 2, "cuda": 8}  # that open pictures, and as many that write them, beside the one that paints


class StylizeWorker:
    """Called by Ray Data with tables of tasks (`TASKS`); answers with how they ended (`RESULTS`).

    An answer in state "pending" means that the job must stop, and why.
    """

    def __init__(self, order: JobSpec) -> None:
        """Load the model. A model that does not load is answered to the first call, since Ray would retry a raise."""
        self.order = order
        self.marks = CrashMarkers(open_destination(order.destination) / RESERVED / "inflight")
        self.readers, self.writers = (ThreadPoolExecutor(THREADS[order.plan.device]) for _ in range(2))
        self.open, self.write = Reader(order), Writer(order)
        self.refusal = ""
        try:
            self.paint = Stylizer(order)
        except (ValueError, OSError) as error:
            self.refusal = str(error)

    def __call__(self, tasks: pa.Table) -> pa.Table:
        """Bring every task to an end, durably recorded when this returns."""
        rows: list[LedgerRow] = []
        todo = read_tasks(tasks)
        try:
            if self.refusal:
                raise JobStopped(self.refusal)
            rows += self.marks.watched(todo, self._settle, self._crashed)
        except JobStopped as stop:
            rows.append(LedgerRow(todo[0].input, "pending", reason=str(stop)))
        except OSError as error:
            rows.append(LedgerRow(todo[0].input, "pending", reason=write_error_text(self.order.destination, error)))
        return result_table(rows)

    def _settle(self, tasks: list[Task]) -> list[LedgerRow]:
        """Bring tasks to an end and record them."""
        written: list[Future[LedgerRow]] = []
        try:
            rows = list(self._stylize(tasks, written))
        finally:
            wait(written)  # a job that stops leaves no writer behind
        rows += [future.result() for future in written]
        self.write.record(rows)
        return rows

    def _crashed(self, task: Task, stage: str) -> LedgerRow:
        row = self.order.crashed(task, stage)
        self.write.record([row])
        return row

    def _stylize(self, tasks: list[Task], written: list[Future[LedgerRow]]) -> Iterator[LedgerRow]:
        """Open and paint tasks and hand them to the writers; those that failed before."""
        for some in handfuls(self._painted(tasks), pixel_bytes, PAINTED_BYTES):
            for future in written:
                future.result()  # one handful at most waits to be written
            for end in some:
                if isinstance(end, LedgerRow):
                    yield end
                else:
                    written.append(self.writers.submit(self.write, end))

    def _painted(self, tasks: list[Task]) -> Iterator[StylizedInput | LedgerRow]:
        """What becomes of tasks before they are written."""
        together = handfuls(tasks, lambda task: task.entry.size or OPENED_BYTES, OPENED_BYTES)
        for batch in batch_images(ahead(self.readers, self.open, together, pixel_bytes), self.order.plan):
            if isinstance(batch, LedgerRow):
                yield batch
                continue
            for picture in batch:
                self.marks.enter(picture.input, "stylize")
            yield from self.paint(batch)
