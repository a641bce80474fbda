"""The stages of a bulk job on machines that suit them: files are opened and written where there are cores, pictures
painted where there are GPUs. Between them they travel through Ray's object store.

    tasks -> open (Ray tasks) -> paint (a pool of actors, one a GPU) -> write and record (Ray tasks) -> answers
"""

import pickle
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa

from atelier.tasks.bulk.crash_markers import CrashMarkers
from atelier.tasks.bulk.ledger import LedgerRow
from atelier.tasks.bulk.messages import (
    DecodedInput,
    JobSpec,
    JobStopped,
    StylizedInput,
    Task,
    read_tasks,
    result_table,
    write_error_text,
)
from atelier.tasks.bulk.prefetch import ahead
from atelier.tasks.bulk.steps import Reader, Stylizer, Writer, batch_images, pixel_bytes
from atelier.tasks.inference.execution_plan import Execution
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.storage.open_destination import open_destination

THREADS = 2  # of a task: one waits for a file while the other computes
PICKLED_SCHEMA = pa.schema({"held": pa.large_binary()})  # a Picture, a Painted or a Row, pickled as Ray itself would


def without_network(order: JobSpec) -> JobSpec:
    """What those need who do not paint; networks are large."""
    return replace(order, execution=Execution(order.plan))


def read_block(tasks: pa.Table, order: JobSpec) -> Iterator[pa.Table]:
    """Tasks (`TASKS`) to what is `PICKLED_SCHEMA`: pictures, and rows of those that failed."""
    todo, opener = read_tasks(tasks), Reader(order)

    def opened(some: list[Task]) -> Iterator[DecodedInput | LedgerRow]:
        with ThreadPoolExecutor(THREADS) as threads:
            yield from ahead(threads, opener, ([task] for task in some), pixel_bytes)

    try:
        for each in _marks(order, "decode").watched(todo, opened, order.crashed):
            yield _held([each])
    except OSError as error:
        yield _held([LedgerRow(todo[0].input, "pending", reason=write_error_text(order.destination, error))])


class StylizeBlock:
    """Called by Ray Data with what was opened; answers with what was painted, both as `PICKLED_SCHEMA`.

    Args:
        order: of the job.
    """

    def __init__(self, order: JobSpec) -> None:
        """Load the model. A model that does not load is answered to each call, since Ray would retry a raise."""
        self.order, self.marks, self.refusal = order, _marks(order, "stylize"), ""
        try:
            self.paint = Stylizer(order)
        except (ValueError, OSError) as error:
            self.refusal = str(error)

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """Rows pass."""
        held = _unpacked(table)
        rows = [each for each in held if isinstance(each, LedgerRow)]
        pictures = [each for each in held if isinstance(each, DecodedInput)]
        if rows:
            yield _held(rows)
        if not pictures:
            return
        if self.refusal:
            yield _held([LedgerRow(pictures[0].input, "pending", reason=self.refusal)])
            return
        try:
            for end in self.marks.watched(pictures, self._painted, self._crashed):
                yield _held([end])
        except OSError as error:
            yield _held(
                [LedgerRow(pictures[0].input, "pending", reason=write_error_text(self.order.destination, error))]
            )

    def _painted(self, pictures: list[DecodedInput]) -> Iterator[StylizedInput | LedgerRow]:
        for batch in batch_images(pictures, self.order.plan):
            yield from [batch] if isinstance(batch, LedgerRow) else self.paint(batch)

    def _crashed(self, picture: DecodedInput, stage: str) -> LedgerRow:
        return self.order.crashed(picture.task, stage)


def write_block(table: pa.Table, order: JobSpec) -> pa.Table:
    """What was painted (`PICKLED_SCHEMA`), brought to an end and durably recorded when this returns (`RESULTS`).

    An answer in state "pending" means that the job must stop, and why.
    """
    held, writer = _unpacked(table), Writer(order)
    rows = [each for each in held if isinstance(each, LedgerRow)]
    painted = [each for each in held if isinstance(each, StylizedInput)]

    def written(some: list[StylizedInput]) -> Iterator[LedgerRow]:
        with ThreadPoolExecutor(THREADS) as threads:
            yield from ahead(threads, writer, ([one] for one in some), pixel_bytes)

    def crashed(one: StylizedInput, stage: str) -> LedgerRow:
        return order.crashed(one.picture.task, stage)

    try:
        rows += _marks(order, "encode").watched(painted, written, crashed) if painted else []
        writer.record([row for row in rows if row.state != "pending"])
    except JobStopped as stop:
        rows.append(LedgerRow(held[0].input, "pending", reason=str(stop)))
    except OSError as error:
        rows.append(LedgerRow(held[0].input, "pending", reason=write_error_text(order.destination, error)))
    return result_table(rows)


def _marks(order: JobSpec, stage: str) -> CrashMarkers:
    return CrashMarkers(open_destination(order.destination) / RESERVED / "inflight", stage)


def _held(things: Iterable[DecodedInput | StylizedInput | LedgerRow]) -> pa.Table:
    return pa.table({"held": [pickle.dumps(thing, protocol=5) for thing in things]}, PICKLED_SCHEMA)


def _unpacked(table: pa.Table) -> list[DecodedInput | StylizedInput | LedgerRow]:
    return [pickle.loads(thing) for thing in table["held"].to_pylist()]
