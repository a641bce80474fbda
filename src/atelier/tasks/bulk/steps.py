"""The steps of a bulk job: `Reader`, `Stylizer` and `Writer`. Two kinds of workers combine them.

The failure of one input is its own: it is quarantined with the stage and a reason. Only a failure that concerns every
input is raised: no space, or a destination that cannot be written.
"""

import errno
import hashlib
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby, islice

import numpy as np

from atelier.tasks.bulk.crash_markers import FILE_BYTES, CrashMarkers
from atelier.tasks.bulk.ledger import Ledger, LedgerRow
from atelier.tasks.bulk.messages import (
    DecodedInput,
    Image,
    JobSpec,
    JobStopped,
    StylizedInput,
    Task,
    write_error_text,
)
from atelier.tasks.bulk.video_chunks import encode, read_chunk, video_of
from atelier.tasks.images import writer
from atelier.tasks.images.codec import BadImage
from atelier.tasks.images.detectors import NoDetector
from atelier.tasks.images.formats import output_format
from atelier.tasks.images.provenance import xmp_packet
from atelier.tasks.images.reader import DecodedImage
from atelier.tasks.inference.execution_plan import Execution, chain_scales
from atelier.tasks.inference.input_limits import input_size, limits_for, read_image
from atelier.tasks.inference.label_pictures import LabelPicture, kinds_of, read_kept, read_labels, with_found, with_kept
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.runtime.errors import short_line
from atelier.tasks.storage.open_destination import open_destination
from atelier.tasks.storage.open_source import read, source_class

Labelled = tuple[Image, LabelPicture | None]  # a frame, and the labels of its file
BatchKey = tuple[int, int, str]  # height, width and sample type: equal for all images of a batch

READ_CHUNK_BYTES = 2**20  # files of a chunk
WRITE_CHUNK_BYTES = 2**23  # pixels of a chunk
# units of the deadlines: a larger file or picture, a longer optimisation, or a place further back in a compressed
# archive gets more time in proportion
MEGAPIXEL_BYTES, OPTIMISATION_STEPS, ARCHIVE_BYTES = 3 * 2**20, 5, 2**30
MAX_WAITING_BYTES = 10**8  # decoded inputs that wait for a full batch
# errors of one output's name; any other write error concerns the whole destination
NAME_ERRORS = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ}


class Reader:
    """Reads and decodes inputs.

    Args:
        spec: of the job.
        markers: of the worker.
    """

    def __init__(self, spec: JobSpec, markers: CrashMarkers) -> None:
        self.spec, self.markers = spec, markers
        self.limits = limits_for(spec.config, *spec.plans)
        self.kinds = kinds_of(step.controls for step in spec.steps)

    def __call__(self, task: Task) -> DecodedInput | LedgerRow:
        """The decoded input of a task, or its row if it failed.

        Raises:
            JobStopped: a detector is not installed.
        """
        if task.chunk is not None:
            return self._chunk(task)
        begun = time.perf_counter()
        factor = task.entry.size / FILE_BYTES
        try:
            before = source_class(task.entry).bytes_before(task.entry) / ARCHIVE_BYTES
            with self.markers.step("read", task.input, factor=factor + before):
                data = read(task.entry, self.limits.max_bytes)
        except BadImage as error:
            return self.spec.quarantined(task, "read", str(error))
        sha256 = hashlib.sha256(data).hexdigest()
        config = self.spec.config
        format = output_format(task.input, config.format)
        try:
            with self.markers.step("decode", task.input, factor=factor):
                image = read_image(data, self.limits, format, config)
                labels, kept = self._label_pictures(task.input, image)
            return DecodedInput(task, image, sha256, time.perf_counter() - begun, labels, kept)
        except BadImage as error:
            return self.spec.quarantined(task, "decode", str(error), sha256)
        except NoDetector as error:
            raise JobStopped(str(error)) from error

    def _chunk(self, task: Task) -> DecodedInput | LedgerRow:
        """The frames of a video's chunk."""
        begun = time.perf_counter()
        try:
            with self.markers.step("decode", task.input, factor=task.entry.size / FILE_BYTES):
                image, chunk = read_chunk(task, self.spec, self.limits)
                labels, kept = self._label_pictures(video_of(task.input), image)
        except (BadImage, ValueError) as error:
            return self.spec.quarantined(task, "decode", str(error))
        return DecodedInput(task, image, chunk.index.sha256, time.perf_counter() - begun, labels, kept, chunk)

    def _label_pictures(self, name: str, image: DecodedImage) -> tuple[LabelPicture | None, LabelPicture | None]:
        """Where styles or holes are, and what stays, of an input with this name. Raises BadImage, NoDetector."""
        config, size = self.spec.config, input_size(self.spec.config, self.limits.scale)
        labels = read_labels(config.mask_from, name, image, self.limits, size) if config.mask_from else None
        labels = with_found(labels, image, self.kinds)
        return labels, read_kept(config.keep_from, name, image, self.limits, size) if config.keep_from else None


class Stylizer:
    """Loads the models and runs them, one after another on each batch.

    Args:
        spec: of the job.
        markers: of the worker.
        painted: is told how many frames of a video's chunk are painted, after each batch.

    Raises:
        ValueError: a model does not load, or this machine cannot follow the job's execution plan.
        OSError: a model cannot be read.
    """

    def __init__(
        self, spec: JobSpec, markers: CrashMarkers, painted: Callable[[int], None] = lambda frames: None
    ) -> None:
        import torch

        from atelier.models import artifact
        from atelier.tasks.inference import backends

        self.spec, self.markers, self.painted = spec, markers, painted
        torch.set_num_threads(spec.plans[0].threads)
        chain, self.factor = [], 0.0
        for step, (plan, scale) in zip(spec.steps, chain_scales(spec.plans), strict=True):
            backends.check_plan(plan)
            trained = artifact.load(step.model, plan.device)
            steps = step.controls.steps or int(getattr(trained.config, "steps", 0))  # of an optimisation
            self.factor += max(1.0, steps / OPTIMISATION_STEPS) * scale**2
            chain.append((trained, step.controls, step.execution))
        self.paint = backends.chain_painter(*chain)
        exact = ((trained, controls, Execution(execution.plan.exact)) for trained, controls, execution in chain)
        self.paint_16_bit = backends.chain_painter(*exact)

    def __call__(self, inputs: list[DecodedInput]) -> list[StylizedInput | LedgerRow]:
        """Stylize the inputs of a batch, or one input with several frames."""
        factor = self.factor * sum(map(pixel_bytes, inputs)) / MEGAPIXEL_BYTES
        with self.markers.step("stylize", *(decoded.input for decoded in inputs), factor=factor):
            return self._results(inputs)

    def _results(self, inputs: list[DecodedInput]) -> list[StylizedInput | LedgerRow]:
        begun = time.perf_counter()
        try:
            labelled = [(frame, decoded.labels) for decoded in inputs for frame in decoded.frames]
            painted = self._stylized(labelled, self.painted if inputs[0].chunk else lambda frames: None)
        except (RuntimeError, ValueError) as error:  # torch raises these, also when memory is short
            if len(inputs) > 1:
                return [result for decoded in inputs for result in self._results([decoded])]
            (decoded,) = inputs
            reason = f"the model failed: {short_line(error)}"
            return [self.spec.quarantined(decoded.task, "stylize", reason, decoded.sha256)]
        frames, each = iter(painted), (time.perf_counter() - begun) / len(inputs)
        return [
            StylizedInput(
                replace(decoded, seconds=decoded.seconds + each),
                [with_kept(next(frames), frame, decoded.kept) for frame in decoded.frames],
            )
            for decoded in inputs
        ]

    def _stylized(self, frames: list[Labelled], count: Callable[[int], None]) -> list[Image]:
        """Stylize frames of any size and depth, in batches of equal neighbours, each of which is counted."""
        painted: list[Image] = []
        for key, equal in groupby(frames, lambda labelled: _batch_key(labelled[0])):
            while batch := list(islice(equal, self.spec.batch_size(*key[:2]))):
                painted += self._forward(batch)
                count(len(batch))
        return painted

    def _forward(self, frames: list[Labelled]) -> list[Image]:
        """Stylize up to a batch of equal frames, padded to the batch size of the plan."""
        import torch

        height, width = frames[0][0].shape[:2]
        padded = frames + [frames[-1]] * (self.spec.batch_size(height, width) - len(frames))
        batch = np.stack([image for image, _ in padded])  # (B, H, W, 3)
        labels = [torch.from_numpy(np.stack([found.labels for _, found in padded if found]))] if padded[0][1] else []
        tensor = torch.from_numpy(batch).permute(0, 3, 1, 2).to(self.spec.device)  # (B, 3, H, W)
        paint: Callable[..., torch.Tensor] = self.paint if batch.dtype == np.uint8 else self.paint_16_bit
        painted = paint(tensor, *labels)
        return list(painted[: len(frames)].permute(0, 2, 3, 1).cpu().contiguous().numpy())


class Writer:
    """Encodes and commits outputs, and records states.

    Args:
        spec: of the job.
        markers: of the worker.
    """

    def __init__(self, spec: JobSpec, markers: CrashMarkers) -> None:
        self.spec, self.markers, self.destination = spec, markers, open_destination(spec.destination)
        self.ledger = Ledger(self.destination / RESERVED / "ledger")
        self.attempt = f"{spec.attempt}-{uuid.uuid4().hex[:8]}"  # of this writer: two never share a temporary file

    def __call__(self, stylized: StylizedInput) -> LedgerRow:
        """Encode and commit one output.

        Raises:
            JobStopped: the destination cannot be written.
        """
        with self.markers.step("encode", stylized.input, factor=pixel_bytes(stylized) / MEGAPIXEL_BYTES):
            return self._written(stylized)

    def _written(self, stylized: StylizedInput) -> LedgerRow:
        begun = time.perf_counter()
        decoded, spec = stylized.decoded, self.spec
        task = decoded.task
        try:
            data = encode(stylized, spec.config) if decoded.chunk else self._picture(stylized)
        except ValueError as error:
            return spec.quarantined(task, "encode", str(error), decoded.sha256)
        try:
            self.destination.commit(task.output, data, self.attempt)
        except OSError as error:
            if error.errno in NAME_ERRORS:
                return spec.quarantined(task, "write", f"cannot be written: {error.strerror}", decoded.sha256)
            raise JobStopped(write_error_text(spec.destination, error)) from error
        done = LedgerRow(
            task.input, "done", task.output, stamp=task.stamp, input_sha256=decoded.sha256, attempt=spec.attempt
        )
        seconds = decoded.seconds + time.perf_counter() - begun
        return replace(done, output_sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), seconds=seconds)

    def _picture(self, stylized: StylizedInput) -> bytes:
        """The file of a picture. Raises ValueError."""
        decoded, config = stylized.decoded, self.spec.config
        xmp = xmp_packet(self.spec.provenance(decoded.sha256, decoded.labels, decoded.kept))
        format, strip = output_format(decoded.input, config.format), config.metadata == "strip"
        return writer.write(decoded.image, stylized.frames, format, quality=config.quality, xmp=xmp, strip=strip)

    def record(self, rows: list[LedgerRow]) -> None:
        """Make outputs durable, then write their rows to the ledger."""
        if rows:
            with self.markers.step("write", *(row.input for row in rows)):
                self.destination.sync(row.output for row in rows if row.output)
                self.ledger.append(rows)


def batch_images(
    results: Iterable[DecodedInput | LedgerRow], spec: JobSpec
) -> Iterator[list[DecodedInput] | LedgerRow]:
    """Collect inputs of equal size and depth into batches of the job's size. Rows of failed inputs pass.

    An input with several frames is yielded alone. A batch is yielded early if the waiting inputs take too much memory.
    """
    waiting: dict[BatchKey, list[DecodedInput]] = defaultdict(list)
    for each in results:
        if isinstance(each, LedgerRow):
            yield each
            continue
        if len(each.frames) > 1:  # it fills batches of its own
            yield [each]
            continue
        key = _batch_key(each.frames[0])
        waiting[key].append(each)
        held = {key: sum(decoded.frames[0].nbytes for decoded in some) for key, some in waiting.items()}
        if len(waiting[key]) == spec.batch_size(*key[:2]):
            yield waiting.pop(key)
        elif sum(held.values()) > MAX_WAITING_BYTES:
            yield waiting.pop(max(held, key=held.__getitem__))
    yield from waiting.values()


def pixel_bytes(result: DecodedInput | StylizedInput | LedgerRow) -> int:
    """Memory of the pixels that a result holds, bytes."""
    return 0 if isinstance(result, LedgerRow) else sum(frame.nbytes for frame in result.frames)


def _batch_key(image: Image) -> BatchKey:
    return image.shape[0], image.shape[1], image.dtype.name
