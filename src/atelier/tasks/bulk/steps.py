"""The stages that a picture of a bulk job goes through: opened, painted, written. Who works where is said elsewhere.

One picture's failure is its own: it ends in quarantine with the stage and a reason. Only what concerns every picture
(no space, a destination that cannot be written) is raised.
"""

import errno
import hashlib
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby, islice

import numpy as np

from atelier.tasks.bulk.ledger import Ledger, LedgerRow
from atelier.tasks.bulk.messages import DecodedInput, Image, JobSpec, JobStopped, StylizedInput, Task, write_error_text
from atelier.tasks.images import reader, writer
from atelier.tasks.images.codec import BadImage
from atelier.tasks.images.formats import output_format
from atelier.tasks.images.provenance import xmp_packet
from atelier.tasks.inference.execution_plan import ExecutionPlan
from atelier.tasks.inference.input_limits import limits_for
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.runtime.errors import short_line
from atelier.tasks.storage.open_destination import open_destination
from atelier.tasks.storage.open_source import read

Kind = tuple[int, int, str]  # what images of a batch share: height, width, type of their samples

OPENED_BYTES = 2**20  # of the files of a handful
PAINTED_BYTES = 2**23  # of the pixels of a handful
MAX_HELD_BYTES = 10**8  # decoded pictures that wait for a full batch
# what is wrong with one output's name; every other failure to write is the destination's, and concerns all
OWN_FAULTS = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ}


class Reader:
    """Reads and decodes.

    Args:
        order: of the job.
    """

    def __init__(self, order: JobSpec) -> None:
        self.order = order
        self.limits = limits_for(order.config, order.plan)

    def __call__(self, task: Task) -> DecodedInput | LedgerRow:
        """The picture of a task, or how it ended."""
        begun = time.perf_counter()
        try:
            data = read(task.entry, self.limits.max_bytes)
        except BadImage as error:
            return self.order.quarantined(task, "read", str(error))
        sha256 = hashlib.sha256(data).hexdigest()
        config = self.order.config
        form = output_format(task.input, config.format)
        try:
            photograph = reader.read(data, self.limits, form, size=config.size, max_frames=config.max_frames)
            return DecodedInput(task, photograph, sha256, time.perf_counter() - begun)
        except BadImage as error:
            return self.order.quarantined(task, "decode", str(error), sha256)


class Stylizer:
    """Loads the model and runs it.

    Args:
        order: of the job.

    Raises:
        ValueError: the model does not load, or this machine cannot honour the job's plan.
        OSError: the model cannot be read.
    """

    def __init__(self, order: JobSpec) -> None:
        import torch

        from atelier.models import artifact
        from atelier.tasks.inference import backends

        self.order = order
        torch.set_num_threads(order.plan.threads)
        backends.check_plan(order.plan)
        trained = artifact.load(order.model, order.plan.device)
        self.paint = backends.build_painter(trained, order.controls, order.plan, order.execution.network)
        self.paint_deep = backends.build_painter(trained, order.controls, order.plan.exact, b"")

    def __call__(self, pictures: list[DecodedInput]) -> list[StylizedInput | LedgerRow]:
        """What becomes of pictures that share a batch, or of one with several frames."""
        begun = time.perf_counter()
        try:
            painted = self._painted([frame for picture in pictures for frame in picture.frames])
        except (RuntimeError, ValueError) as error:  # torch raises these, for want of memory too
            if len(pictures) > 1:
                return [end for picture in pictures for end in self([picture])]
            (picture,) = pictures
            reason = f"the model failed: {short_line(error)}"
            return [self.order.quarantined(picture.task, "stylize", reason, picture.sha256)]
        frames, each = iter(painted), (time.perf_counter() - begun) / len(pictures)
        return [
            StylizedInput(replace(picture, seconds=picture.seconds + each), list(islice(frames, len(picture.frames))))
            for picture in pictures
        ]

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


class Writer:
    """Encodes, commits and records.

    Args:
        order: of the job.
    """

    def __init__(self, order: JobSpec) -> None:
        self.order, self.destination = order, open_destination(order.destination)
        self.ledger = Ledger(self.destination / RESERVED / "ledger")
        self.attempt = f"{order.attempt}-{uuid.uuid4().hex[:8]}"  # of this writer: two never share a temporary file

    def __call__(self, painted: StylizedInput) -> LedgerRow:
        """Encode and commit one output.

        Raises:
            Stopped: the destination takes no more.
        """
        begun = time.perf_counter()
        picture, order = painted.picture, self.order
        task = picture.task
        try:
            xmp = xmp_packet(order.lineage(picture.sha256))
            form, strip = output_format(task.input, order.config.format), order.config.metadata == "strip"
            data = writer.write(picture.image, painted.frames, form, quality=order.config.quality, xmp=xmp, strip=strip)
        except ValueError as error:
            return order.quarantined(task, "encode", str(error), picture.sha256)
        try:
            self.destination.commit(task.output, data, self.attempt)
        except OSError as error:
            if error.errno in OWN_FAULTS:
                return order.quarantined(task, "write", f"cannot be written: {error.strerror}", picture.sha256)
            raise JobStopped(write_error_text(order.destination, error)) from error
        done = LedgerRow(
            task.input, "done", task.output, stamp=task.stamp, input_sha256=picture.sha256, attempt=order.attempt
        )
        seconds = picture.seconds + time.perf_counter() - begun
        return replace(done, output_sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), seconds=seconds)

    def record(self, rows: list[LedgerRow]) -> None:
        """Make what was written last, and then say so in the ledger."""
        self.destination.sync(row.output for row in rows if row.output)
        self.ledger.append(rows)


def batch_images(
    opened: Iterable[DecodedInput | LedgerRow], plan: ExecutionPlan
) -> Iterator[list[DecodedInput] | LedgerRow]:
    """Pictures of a kind, as many as the plan paints together, one of several frames by itself; what failed passes."""
    waiting: dict[Kind, list[DecodedInput]] = defaultdict(list)
    for each in opened:
        if isinstance(each, LedgerRow):
            yield each
            continue
        if len(each.frames) > 1:  # it fills batches of its own
            yield [each]
            continue
        kind = _kind(each.frames[0])
        waiting[kind].append(each)
        held = {key: sum(picture.frames[0].nbytes for picture in pictures) for key, pictures in waiting.items()}
        if len(waiting[kind]) == plan.batch_size(*kind[:2]):
            yield waiting.pop(kind)
        elif sum(held.values()) > MAX_HELD_BYTES:
            yield waiting.pop(max(held, key=held.__getitem__))
    yield from waiting.values()


def pixel_bytes(end: DecodedInput | StylizedInput | LedgerRow) -> int:
    """Of what is held of a picture."""
    return 0 if isinstance(end, LedgerRow) else sum(frame.nbytes for frame in end.frames)


def _kind(image: Image) -> Kind:
    return image.shape[0], image.shape[1], image.dtype.name
