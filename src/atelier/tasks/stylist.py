"""The worker of a bulk job: reads, decodes, stylizes, encodes and commits pictures, and records how each ended.

One picture's failure is its own: it ends in quarantine with the stage and a reason. Only what concerns every picture
(no space, a destination that cannot be written) stops the worker, and with it the job.
"""

import errno
import hashlib
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from atelier.models.controls import Controls
from atelier.tasks import paintings, photographs
from atelier.tasks.deep import Deep
from atelier.tasks.destination import at
from atelier.tasks.execution_plan import Execution, Plan
from atelier.tasks.images import BadImage, Pixels
from atelier.tasks.ledger import Ledger, Marks, Row
from atelier.tasks.lineage import Lineage, ModelIdentity, code_revision, packet
from atelier.tasks.naming import RESERVED, output_format
from atelier.tasks.paint_limits import limits
from atelier.tasks.photographs import Photograph
from atelier.tasks.sources import Entry, read
from atelier.tasks.stylize_config import StylizeConfig, stamped

Image = Pixels | Deep
Kind = tuple[int, int, str]  # what images of a batch share: height, width, type of their samples

THREADS = {"cpu": 2, "cuda": 8}  # that open pictures, and as many that write them, beside the one that paints
AHEAD = 4  # opened pictures that wait to be painted
MAX_HELD_BYTES = 10**8  # decoded pictures that wait for a full batch
ENTRY = {"name": pa.string(), "source": pa.string(), "size": pa.int64(), "etag": pa.string(), "kind": pa.string()}
ENTRY |= {"path": pa.string(), "member": pa.string(), "offset": pa.int64(), "problem": pa.string()}
TASKS = pa.schema({"input": pa.string(), "output": pa.string(), "stamp": pa.string(), **ENTRY})
RESULTS = pa.schema({"input": pa.string(), "state": pa.string(), "reason": pa.string()})
# what is wrong with one output's name; every other failure to write is the destination's, and concerns all
OWN_FAULTS = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ}


@dataclass(frozen=True)
class Order:
    """All that a worker is told; picklable."""

    destination: str | Path  # a folder or a URL
    model: Path
    identity: ModelIdentity
    config: StylizeConfig
    controls: Controls
    execution: Execution
    attempt: int
    revision: str = field(default_factory=code_revision)  # of the code of whoever gives the order

    @property
    def plan(self) -> Plan:
        """How the model is run."""
        return self.execution.plan

    def lineage(self, input_sha256: str) -> Lineage:
        """What the output of this input says of itself."""
        parameters = stamped(self.controls, self.config) | {"plan": asdict(self.plan)}
        return Lineage(self.identity, parameters, input_sha256, revision=self.revision)


@dataclass(frozen=True)
class Task:
    """One input and the output planned for it."""

    input: str
    output: str
    stamp: str  # size and etag of the input as it was listed
    entry: Entry


@dataclass(frozen=True)
class Picture:
    """A decoded input."""

    task: Task
    photograph: Photograph
    sha256: str
    seconds: float  # that it has taken so far

    @property
    def frames(self) -> list[Image]:
        """What there is to paint."""
        return [frame.pixels for frame in self.photograph.frames]


class Stopped(Exception):  # noqa: N818 (it is a state, not an error of the picture)
    """The destination takes no more; the text is for a person."""


class Stylist:
    """Called by Ray Data with tables of tasks (`TASKS`); answers with how they ended (`RESULTS`).

    An answer in state "pending" means that the job must stop, and why.
    """

    def __init__(self, order: Order) -> None:
        """Load the model. A model that does not load is answered to the first call, since Ray would retry a raise."""
        import torch

        from atelier.models import artifact
        from atelier.tasks import execution

        torch.set_num_threads(order.plan.threads)
        self.order, self.destination = order, at(order.destination)
        books = self.destination / RESERVED
        self.ledger, self.marks = Ledger(books / "ledger"), Marks(books / "inflight")
        self.attempt = f"{order.attempt}-{uuid.uuid4().hex[:8]}"  # of this worker: two never share a temporary file
        self.readers, self.writers = (ThreadPoolExecutor(THREADS[order.plan.device]) for _ in range(2))
        self.limits = limits(order.config, order.plan)
        self.refusal = ""
        try:
            execution.refuse_other(order.plan)
            trained = artifact.load(order.model, order.plan.device)
            self.paint = execution.painter(trained, order.controls, order.plan, order.execution.network)
            self.paint_deep = execution.painter(trained, order.controls, order.plan.exact, b"")
        except (ValueError, OSError) as error:
            self.refusal = str(error)

    def __call__(self, tasks: pa.Table) -> pa.Table:
        """Bring every task to an end, durably recorded when this returns."""
        rows: list[Row] = []
        todo = [_task(values) for values in tasks.to_pylist()]
        try:
            if self.refusal:
                raise Stopped(self.refusal)
            block = [task.input for task in todo]
            if self.marks.take(block):
                for task in todo:
                    rows += self._settle_alone(task)
            else:
                rows += self._settle(todo)
            self.marks.leave(block)
        except Stopped as stop:
            rows.append(Row(todo[0].input, "pending", reason=str(stop)))
        except OSError as error:
            rows.append(Row(todo[0].input, "pending", reason=stopped(self.order.destination, error)))
        return pa.Table.from_pylist([{key: getattr(row, key) for key in RESULTS.names} for row in rows], RESULTS)

    def _settle(self, tasks: list[Task]) -> list[Row]:
        """Bring tasks to an end and record them."""
        written: list[Future[Row]] = []
        try:
            rows = self._stylize(tasks, written)
        finally:
            wait(written)  # a job that stops leaves no writer behind
        rows += [future.result() for future in written]
        self.destination.sync(row.output for row in rows if row.output)
        self.ledger.append(rows)
        return rows

    def _settle_alone(self, task: Task) -> list[Row]:
        """Settle an input that a worker had in hand when it died: alone, so that a second death has one suspect."""
        stage = self.marks.take_alone(task.input)
        if not stage:
            rows = self._settle([task])
        else:
            reason = "crashed its worker twice; it may need more memory than there is"
            rows = [self._quarantine(task, stage, "crashed the decoder" if stage == "decode" else reason)]
            self.ledger.append(rows)
        self.marks.leave_alone(task.input)
        return rows

    def _stylize(self, tasks: list[Task], written: list[Future[Row]]) -> list[Row]:
        """Open and paint tasks, batch by batch of one kind; returns those that failed before they were written."""
        rows: list[Row] = []
        waiting: dict[Kind, list[Picture]] = defaultdict(list)
        for opened in self._opened(tasks):
            if isinstance(opened, Row):
                rows.append(opened)
                continue
            if len(opened.frames) > 1:  # it fills batches of its own
                rows += self._paint([opened], written)
                continue
            kind = _kind(opened.frames[0])
            waiting[kind].append(opened)
            held = {each: sum(p.frames[0].nbytes for p in pictures) for each, pictures in waiting.items()}
            if len(waiting[kind]) == self.order.plan.batch_size(*kind[:2]):
                rows += self._paint(waiting.pop(kind), written)
            elif sum(held.values()) > MAX_HELD_BYTES:
                rows += self._paint(waiting.pop(max(held, key=held.__getitem__)), written)
        for pictures in waiting.values():
            rows += self._paint(pictures, written)
        return rows

    def _opened(self, tasks: list[Task]) -> Iterator[Picture | Row]:
        """Open tasks ahead of the painting; in their order, on which batches depend."""
        ahead: deque[Future[Picture | Row]] = deque()
        for task in tasks:
            ahead.append(self.readers.submit(self._open, task))
            if len(ahead) > AHEAD:
                yield ahead.popleft().result()
        for future in ahead:
            yield future.result()

    def _open(self, task: Task) -> Picture | Row:
        begun = time.perf_counter()
        try:
            data = read(task.entry, self.limits.max_bytes)
        except BadImage as error:
            return self._quarantine(task, "read", str(error))
        sha256 = hashlib.sha256(data).hexdigest()
        config = self.order.config
        form = output_format(task.input, config.format)
        try:
            photograph = photographs.read(data, self.limits, form, size=config.size, max_frames=config.max_frames)
            return Picture(task, photograph, sha256, time.perf_counter() - begun)
        except BadImage as error:
            return self._quarantine(task, "decode", str(error), sha256)

    def _paint(self, pictures: list[Picture], written: list[Future[Row]]) -> list[Row]:
        """Stylize pictures that share a batch, or one of several frames; hand them to the writers.

        Returns:
            Those that failed before.
        """
        for picture in pictures:
            self.marks.enter(picture.task.input, "stylize")
        begun = time.perf_counter()
        try:
            painted = self._painted([frame for picture in pictures for frame in picture.frames])
        except (RuntimeError, ValueError) as error:  # torch raises these, for want of memory too
            if len(pictures) > 1:
                return [row for picture in pictures for row in self._paint([picture], written)]
            picture = pictures[0]
            return [self._quarantine(picture.task, "stylize", f"the model failed: {_one_line(error)}", picture.sha256)]
        for future in written:
            future.result()  # one batch at most waits to be written
        frames, each = iter(painted), (time.perf_counter() - begun) / len(pictures)
        for picture in pictures:
            own = list(islice(frames, len(picture.frames)))
            written.append(self.writers.submit(self._finish, replace(picture, seconds=picture.seconds + each), own))
        return []

    def _painted(self, frames: list[Image]) -> list[Image]:
        """Stylize frames of any kind, in batches of neighbours of one kind."""
        painted: list[Image] = []
        for kind, same in groupby(frames, _kind):
            while batch := list(islice(same, self.order.plan.batch_size(*kind[:2]))):
                painted += self._forward(batch)
        return painted

    def _forward(self, pictures: list[Image]) -> list[Image]:
        """Stylize up to a batch of pictures of one kind, padded to the batch that the plan says."""
        import torch

        height, width = pictures[0].shape[:2]
        padding = self.order.plan.batch_size(height, width) - len(pictures)
        batch = np.stack(pictures + [pictures[-1]] * padding)  # (B, H, W, 3)
        images = torch.from_numpy(batch).permute(0, 3, 1, 2).to(self.order.plan.device)  # (B, 3, H, W)
        painted = self.paint(images) if batch.dtype == np.uint8 else self.paint_deep(images)
        return list(painted[: len(pictures)].permute(0, 2, 3, 1).cpu().contiguous().numpy())

    def _finish(self, picture: Picture, painted: list[Image]) -> Row:
        """Encode and commit one output."""
        begun = time.perf_counter()
        task, order = picture.task, self.order
        try:
            xmp = packet(order.lineage(picture.sha256))
            form, strip = output_format(task.input, order.config.format), order.config.metadata == "strip"
            data = paintings.write(
                picture.photograph, painted, form, quality=order.config.quality, xmp=xmp, strip=strip
            )
        except ValueError as error:
            return self._quarantine(task, "encode", str(error), picture.sha256)
        try:
            self.destination.commit(task.output, data, self.attempt)
        except OSError as error:
            if error.errno in OWN_FAULTS:
                return self._quarantine(task, "write", f"cannot be written: {error.strerror}", picture.sha256)
            raise Stopped(stopped(order.destination, error)) from error
        done = Row(
            task.input, "done", task.output, stamp=task.stamp, input_sha256=picture.sha256, attempt=order.attempt
        )
        seconds = picture.seconds + time.perf_counter() - begun
        return replace(done, output_sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), seconds=seconds)

    def _quarantine(self, task: Task, stage: str, reason: str, sha256: str = "") -> Row:
        row = Row(task.input, "quarantined", "", stage, reason, task.stamp, sha256)
        return replace(row, attempt=self.order.attempt)


def _kind(image: Image) -> Kind:
    return image.shape[0], image.shape[1], image.dtype.name


def _task(values: dict[str, Any]) -> Task:
    return Task(values.pop("input"), values.pop("output"), values.pop("stamp"), Entry(**values))


def stopped(destination: object, error: OSError) -> str:
    """What to tell when a destination takes no more."""
    return f"{destination} cannot be written ({error.strerror or error}): mend that and run the same command again"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:199] + "…"
