"""The stages of a bulk job on machines that suit them: files are opened and written where there are cores, pictures
painted where there are GPUs. Between them they travel through Ray's object store.

    tasks -> open (Ray tasks) -> paint (a pool of actors, one a GPU) -> write and record (Ray tasks) -> answers
"""

import pickle
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa

from atelier.tasks.bulk.crash_marks import Marks
from atelier.tasks.bulk.ledger import Row
from atelier.tasks.bulk.messages import Order, Painted, Picture, Stopped, Task, results_of, stopped, tasks_of
from atelier.tasks.bulk.prefetch import ahead
from atelier.tasks.bulk.steps import Opener, Painter, Writer, batches, pixel_bytes
from atelier.tasks.inference.execution_plan import Execution
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.storage.open_destination import open_destination

THREADS = 2  # of a task: one waits for a file while the other computes
HELD = pa.schema({"held": pa.large_binary()})  # a Picture, a Painted or a Row, pickled as Ray itself would


def without_network(order: Order) -> Order:
    """What those need who do not paint; networks are large."""
    return replace(order, execution=Execution(order.plan))


def open_block(tasks: pa.Table, order: Order) -> Iterator[pa.Table]:
    """Tasks (`TASKS`) to what is `HELD`: pictures, and rows of those that failed."""
    todo, opener = tasks_of(tasks), Opener(order)

    def opened(some: list[Task]) -> Iterator[Picture | Row]:
        with ThreadPoolExecutor(THREADS) as threads:
            yield from ahead(threads, opener, ([task] for task in some), pixel_bytes)

    try:
        for each in _marks(order, "decode").watched(todo, opened, order.crashed):
            yield _held([each])
    except OSError as error:
        yield _held([Row(todo[0].input, "pending", reason=stopped(order.destination, error))])


class PaintBlock:
    """Called by Ray Data with what was opened; answers with what was painted, both as `HELD`.

    Args:
        order: of the job.
    """

    def __init__(self, order: Order) -> None:
        """Load the model. A model that does not load is answered to each call, since Ray would retry a raise."""
        self.order, self.marks, self.refusal = order, _marks(order, "stylize"), ""
        try:
            self.paint = Painter(order)
        except (ValueError, OSError) as error:
            self.refusal = str(error)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """Rows pass."""
        held = _unpacked(table)
        rows = [each for each in held if isinstance(each, Row)]
        pictures = [each for each in held if isinstance(each, Picture)]
        if rows:
            yield _held(rows)
        if not pictures:
            return
        if self.refusal:
            yield _held([Row(pictures[0].input, "pending", reason=self.refusal)])
            return
        try:
            for end in self.marks.watched(pictures, self._painted, self._crashed):
                yield _held([end])
        except OSError as error:
            yield _held([Row(pictures[0].input, "pending", reason=stopped(self.order.destination, error))])

    def _painted(self, pictures: list[Picture]) -> Iterator[Painted | Row]:
        for batch in batches(pictures, self.order.plan):
            yield from [batch] if isinstance(batch, Row) else self.paint(batch)

    def _crashed(self, picture: Picture, stage: str) -> Row:
        return self.order.crashed(picture.task, stage)


def write_block(table: pa.Table, order: Order) -> pa.Table:
    """What was painted (`HELD`), brought to an end and durably recorded when this returns (`RESULTS`).

    An answer in state "pending" means that the job must stop, and why.
    """
    held, writer = _unpacked(table), Writer(order)
    rows = [each for each in held if isinstance(each, Row)]
    painted = [each for each in held if isinstance(each, Painted)]

    def written(some: list[Painted]) -> Iterator[Row]:
        with ThreadPoolExecutor(THREADS) as threads:
            yield from ahead(threads, writer, ([one] for one in some), pixel_bytes)

    def crashed(one: Painted, stage: str) -> Row:
        return order.crashed(one.picture.task, stage)

    try:
        rows += _marks(order, "encode").watched(painted, written, crashed) if painted else []
        writer.record([row for row in rows if row.state != "pending"])
    except Stopped as stop:
        rows.append(Row(held[0].input, "pending", reason=str(stop)))
    except OSError as error:
        rows.append(Row(held[0].input, "pending", reason=stopped(order.destination, error)))
    return results_of(rows)


def _marks(order: Order, stage: str) -> Marks:
    return Marks(open_destination(order.destination) / RESERVED / "inflight", stage)


def _held(things: Iterable[Picture | Painted | Row]) -> pa.Table:
    return pa.table({"held": [pickle.dumps(thing, protocol=5) for thing in things]}, HELD)


def _unpacked(table: pa.Table) -> list[Picture | Painted | Row]:
    return [pickle.loads(thing) for thing in table["held"].to_pylist()]
