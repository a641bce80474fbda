"""Messages of a bulk job: what the driver sends to workers, what workers pass on, and what they send back."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from atelier.models.card import ModelIdentity
from atelier.models.controls import Controls
from atelier.tasks.bulk.ledger import LedgerRow
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.provenance import Provenance, code_revision
from atelier.tasks.images.reader import DecodedImage
from atelier.tasks.images.sixteen_bit import SixteenBit
from atelier.tasks.inference.config import StylizeConfig, provenance_parameters
from atelier.tasks.inference.execution_plan import Execution, ExecutionPlan, chain_batch_size
from atelier.tasks.inference.label_pictures import LabelPicture
from atelier.tasks.storage.entry import Entry
from atelier.tasks.video.index import VideoIndex

Image = Pixels | SixteenBit

ENTRY_FIELDS = {name: pa.string() for name in ("name", "source", "etag", "kind", "path", "member", "problem")}
ENTRY_FIELDS |= {"size": pa.int64(), "offset": pa.int64()}  # all fields of `Entry`
TASK_SCHEMA = pa.schema(
    {
        "input": pa.string(),
        "output": pa.string(),
        "stamp": pa.string(),
        **ENTRY_FIELDS,
        "chunk": pa.int32(),
        "pixels": pa.int64(),
    }
)
RESULT_SCHEMA = pa.schema({"input": pa.string(), "state": pa.string(), "reason": pa.string()})


@dataclass(frozen=True)
class JobStep:
    """A model of a job, and how it is run."""

    model: Path
    identity: ModelIdentity
    controls: Controls
    execution: Execution


@dataclass(frozen=True)
class JobSpec:
    """The specification of a job, for its workers; picklable."""

    destination: str | Path  # a folder or a URL
    steps: tuple[JobStep, ...]  # one or more; each paints what the one before it made
    config: StylizeConfig
    attempt: int  # number of this run of the job, from 1
    revision: str = field(default_factory=code_revision)  # git commit of the driver's code

    @property
    def plans(self) -> tuple[ExecutionPlan, ...]:
        """How each model is run."""
        return tuple(step.execution.plan for step in self.steps)

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where all models are run."""
        return self.plans[0].device

    def batch_size(self, height: int, width: int) -> int:
        """Number of pictures of this size (px) in a batch; smaller batches are padded to it."""
        return chain_batch_size(self.plans, height, width)

    def with_executions(self, executions: Sequence[Execution]) -> "JobSpec":
        """The specification with these instead of the models' own."""
        pairs = zip(self.steps, executions, strict=True)
        return replace(self, steps=tuple(replace(step, execution=execution) for step, execution in pairs))

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The parameters in the provenance of every output."""
        return provenance_parameters([step.controls for step in self.steps], self.config, self.plans)

    def provenance(
        self, sha256: str, labels: LabelPicture | None = None, kept: LabelPicture | None = None
    ) -> Provenance:
        """The provenance of the output of an input with this hash, and of these label pictures."""
        given = {"labels": labels, "kept": kept}
        hashes = {name: picture.sha256 for name, picture in given.items() if picture and picture.sha256}
        first, *then = (step.identity for step in self.steps)
        parameters = self.parameters | hashes
        return Provenance(first, parameters, sha256, revision=self.revision, then=tuple(then))

    def quarantined(self, task: "Task", stage: str, reason: str, sha256: str = "") -> LedgerRow:
        """The row of an input that failed at a stage."""
        return LedgerRow(task.input, "quarantined", "", stage, reason, task.stamp, sha256, attempt=self.attempt)

    def crashed(self, task: "Task", stage: str, exceeded: str) -> LedgerRow:
        """The row of an input that crashed two workers, or took longer than `exceeded` seconds in both."""
        reason = "crashed its worker twice; it may need more memory than there is"
        if exceeded:
            reason = f"took longer than {exceeded} s, twice: stylize.picture_timeout_s is the limit"
        elif stage == "decode":
            reason = "crashed the decoder"
        return self.quarantined(task, stage, reason)

    def stopped(self, input: str, error: Exception) -> LedgerRow:
        """A row in state "pending", which stops the job: its reason is the message for the user."""
        reason = write_error_text(self.destination, error) if isinstance(error, OSError) else str(error)
        return LedgerRow(input, "pending", reason=reason)


@dataclass(frozen=True)
class Task:
    """One input and its planned output."""

    input: str
    output: str
    stamp: str  # size and etag of the listed input
    entry: Entry  # for a chunk, of its video
    chunk: int | None = None  # number of a video's chunk, None for a picture
    pixels: int | None = None  # of all frames of a chunk


@dataclass(frozen=True)
class ChunkFrames:
    """What a chunk's decoded frames belong to."""

    index: VideoIndex
    own: range  # those of the chunk among its decoded frames; the others are its neighbours


@dataclass(frozen=True)
class DecodedInput:
    """An input that is read and decoded."""

    task: Task
    image: DecodedImage
    sha256: str  # of the file
    seconds: float  # spent on it so far
    labels: LabelPicture | None = None  # where styles are placed by label pictures
    kept: LabelPicture | None = None  # where the input stays as it is
    chunk: ChunkFrames | None = None  # of a video

    @property
    def input(self) -> str:
        """Name of the input."""
        return self.task.input

    @property
    def frames(self) -> list[Image]:
        """Its frames, each (H, W, 3)."""
        return [frame.pixels for frame in self.image.frames]


@dataclass(frozen=True)
class StylizedInput:
    """An input and its stylized frames."""

    decoded: DecodedInput
    frames: list[Image]

    @property
    def input(self) -> str:
        """Name of the input."""
        return self.decoded.input


class JobStopped(Exception):  # noqa: N818 (it is a state, not an error of the picture)
    """The destination cannot be written; the text is the message for the user."""


def write_error_text(destination: object, error: OSError) -> str:
    """The message for the user when a destination cannot be written."""
    return f"{destination} cannot be written ({error.strerror or error}): repair that and run the same command again"


def read_tasks(table: pa.Table) -> list[Task]:
    """The tasks of a table of schema `TASK_SCHEMA`."""
    own = ("input", "output", "stamp", "chunk", "pixels")
    return [Task(**{name: row.pop(name) for name in own}, entry=Entry(**row)) for row in table.to_pylist()]


def picture_tasks(inputs: pa.Table, outputs: pa.Array) -> pa.Table:
    """The tasks (`TASK_SCHEMA`) of inputs that are listed, with their outputs; videos are not cut yet."""
    tasks = inputs.append_column("output", outputs)
    for name in ("chunk", "pixels"):
        tasks = tasks.append_column(name, pa.nulls(inputs.num_rows, TASK_SCHEMA.field(name).type))
    return tasks.select(TASK_SCHEMA.names)


def result_table(rows: list[LedgerRow]) -> pa.Table:
    """A table of schema `RESULT_SCHEMA`."""
    results = [{key: getattr(row, key) for key in RESULT_SCHEMA.names} for row in rows]
    return pa.Table.from_pylist(results, RESULT_SCHEMA)
