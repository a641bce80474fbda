"""What the workers of a bulk job are told, and what they hand each other: orders, tasks, pictures."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from atelier.models.card import ModelIdentity
from atelier.models.controls import Controls
from atelier.tasks.bulk.ledger import LedgerRow
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.provenance import Provenance, code_revision
from atelier.tasks.images.reader import DecodedImage
from atelier.tasks.images.sixteen_bit import SixteenBit
from atelier.tasks.inference.config import StylizeConfig, provenance_parameters
from atelier.tasks.inference.execution_plan import Execution, ExecutionPlan
from atelier.tasks.storage.entry import Entry

Image = Pixels | SixteenBit

ENTRY_FIELDS = {
    "name": pa.string(),
    "source": pa.string(),
    "size": pa.int64(),
    "etag": pa.string(),
    "kind": pa.string(),
}
ENTRY_FIELDS |= {"path": pa.string(), "member": pa.string(), "offset": pa.int64(), "problem": pa.string()}
TASK_SCHEMA = pa.schema({"input": pa.string(), "output": pa.string(), "stamp": pa.string(), **ENTRY_FIELDS})
RESULT_SCHEMA = pa.schema({"input": pa.string(), "state": pa.string(), "reason": pa.string()})


@dataclass(frozen=True)
class JobSpec:
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
    def plan(self) -> ExecutionPlan:
        """How the model is run."""
        return self.execution.plan

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """What all outputs depend on, as they say it."""
        return provenance_parameters(self.controls, self.config) | {"plan": asdict(self.plan)}

    def lineage(self, input_sha256: str) -> Provenance:
        """What the output of this input says of itself."""
        return Provenance(self.identity, self.parameters, input_sha256, revision=self.revision)

    def quarantined(self, task: "Task", stage: str, reason: str, sha256: str = "") -> LedgerRow:
        """How an input ends that failed at a stage."""
        return LedgerRow(task.input, "quarantined", "", stage, reason, task.stamp, sha256, attempt=self.attempt)

    def crashed(self, task: "Task", stage: str) -> LedgerRow:
        """How an input ends that was in hand at two deaths of workers."""
        reason = "crashed its worker twice; it may need more memory than there is"
        return self.quarantined(task, stage, "crashed the decoder" if stage == "decode" else reason)


@dataclass(frozen=True)
class Task:
    """One input and the output planned for it."""

    input: str
    output: str
    stamp: str  # size and etag of the input as it was listed
    entry: Entry


@dataclass(frozen=True)
class DecodedInput:
    """A decoded input."""

    task: Task
    image: DecodedImage
    sha256: str
    seconds: float  # that it has taken so far

    @property
    def input(self) -> str:
        """Its name."""
        return self.task.input

    @property
    def frames(self) -> list[Image]:
        """What there is to paint."""
        return [frame.pixels for frame in self.image.frames]


@dataclass(frozen=True)
class StylizedInput:
    """A picture and what became of each of its frames."""

    picture: DecodedInput
    frames: list[Image]

    @property
    def input(self) -> str:
        """Its name."""
        return self.picture.input


class JobStopped(Exception):  # noqa: N818 (it is a state, not an error of the picture)
    """The destination takes no more; the text is for a person."""


def write_error_text(destination: object, error: OSError) -> str:
    """What to tell when a destination takes no more."""
    return f"{destination} cannot be written ({error.strerror or error}): mend that and run the same command again"


def read_tasks(table: pa.Table) -> list[Task]:
    """The tasks of a table of schema `TASK_SCHEMA`."""
    return [_task(values) for values in table.to_pylist()]


def result_table(rows: list[LedgerRow]) -> pa.Table:
    """A table of schema `RESULT_SCHEMA`."""
    return pa.Table.from_pylist(
        [{key: getattr(row, key) for key in RESULT_SCHEMA.names} for row in rows], RESULT_SCHEMA
    )


def _task(values: dict[str, Any]) -> Task:
    return Task(values.pop("input"), values.pop("output"), values.pop("stamp"), Entry(**values))
