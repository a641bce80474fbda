"""The worker of a bulk job that takes pictures through all stages: it opens ahead and writes behind, in threads."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pyarrow as pa

from atelier.tasks.bulk.crash_marks import Marks
from atelier.tasks.bulk.ledger import Row
from atelier.tasks.bulk.messages import Order, Painted, Stopped, Task, results_of, stopped, tasks_of
from atelier.tasks.bulk.prefetch import ahead, handfuls
from atelier.tasks.bulk.steps import OPENED_BYTES, PAINTED_BYTES, Opener, Painter, Writer, batches, pixel_bytes
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.storage.open_destination import open_destination

THREADS = {"cpu": 2, "cuda": 8}  # that open pictures, and as many that write them, beside the one that paints


class Stylist:
    """Called by Ray Data with tables of tasks (`TASKS`); answers with how they ended (`RESULTS`).

    An answer in state "pending" means that the job must stop, and why.
    """

    def __init__(self, order: Order) -> None:
        """Load the model. A model that does not load is answered to the first call, since Ray would retry a raise."""
        self.order = order
        self.marks = Marks(open_destination(order.destination) / RESERVED / "inflight")
        self.readers, self.writers = (ThreadPoolExecutor(THREADS[order.plan.device]) for _ in range(2))
        self.open, self.write = Opener(order), Writer(order)
        self.refusal = ""
        try:
            self.paint = Painter(order)
        except (ValueError, OSError) as error:
            self.refusal = str(error)

    def __call__(self, tasks: pa.Table) -> pa.Table:
        """Bring every task to an end, durably recorded when this returns."""
        rows: list[Row] = []
        todo = tasks_of(tasks)
        try:
            if self.refusal:
                raise Stopped(self.refusal)
            rows += self.marks.watched(todo, self._settle, self._crashed)
        except Stopped as stop:
            rows.append(Row(todo[0].input, "pending", reason=str(stop)))
        except OSError as error:
            rows.append(Row(todo[0].input, "pending", reason=stopped(self.order.destination, error)))
        return results_of(rows)

    def _settle(self, tasks: list[Task]) -> list[Row]:
        """Bring tasks to an end and record them."""
        written: list[Future[Row]] = []
        try:
            rows = list(self._stylize(tasks, written))
        finally:
            wait(written)  # a job that stops leaves no writer behind
        rows += [future.result() for future in written]
        self.write.record(rows)
        return rows

    def _crashed(self, task: Task, stage: str) -> Row:
        row = self.order.crashed(task, stage)
        self.write.record([row])
        return row

    def _stylize(self, tasks: list[Task], written: list[Future[Row]]) -> Iterator[Row]:
        """Open and paint tasks and hand them to the writers; those that failed before."""
        for some in handfuls(self._painted(tasks), pixel_bytes, PAINTED_BYTES):
            for future in written:
                future.result()  # one handful at most waits to be written
            for end in some:
                if isinstance(end, Row):
                    yield end
                else:
                    written.append(self.writers.submit(self.write, end))

    def _painted(self, tasks: list[Task]) -> Iterator[Painted | Row]:
        """What becomes of tasks before they are written."""
        together = handfuls(tasks, lambda task: task.entry.size or OPENED_BYTES, OPENED_BYTES)
        for batch in batches(ahead(self.readers, self.open, together, pixel_bytes), self.order.plan):
            if isinstance(batch, Row):
                yield batch
                continue
            for picture in batch:
                self.marks.enter(picture.input, "stylize")
            yield from self.paint(batch)
