"""What the workers of a bulk job are told, and what they hand each other: orders, tasks, pictures."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from atelier.models.card import ModelIdentity
from atelier.models.controls import Controls
from atelier.tasks.bulk.ledger import Row
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.provenance import Provenance, code_revision
from atelier.tasks.images.reader import DecodedImage
from atelier.tasks.images.sixteen_bit import SixteenBit
from atelier.tasks.inference.config import StylizeConfig, stamped
from atelier.tasks.inference.execution_plan import Execution, Plan
from atelier.tasks.storage.entry import Entry

Image = Pixels | SixteenBit

ENTRY = {"name": pa.string(), "source": pa.string(), "size": pa.int64(), "etag": pa.string(), "kind": pa.string()}
ENTRY |= {"path": pa.string(), "member": pa.string(), "offset": pa.int64(), "problem": pa.string()}
TASKS = pa.schema({"input": pa.string(), "output": pa.string(), "stamp": pa.string(), **ENTRY})
RESULTS = pa.schema({"input": pa.string(), "state": pa.string(), "reason": pa.string()})


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

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """What all outputs depend on, as they say it."""
        return stamped(self.controls, self.config) | {"plan": asdict(self.plan)}

    def lineage(self, input_sha256: str) -> Provenance:
        """What the output of this input says of itself."""
        return Provenance(self.identity, self.parameters, input_sha256, revision=self.revision)

    def quarantined(self, task: "Task", stage: str, reason: str, sha256: str = "") -> Row:
        """How an input ends that failed at a stage."""
        return Row(task.input, "quarantined", "", stage, reason, task.stamp, sha256, attempt=self.attempt)

    def crashed(self, task: "Task", stage: str) -> Row:
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
class Picture:
    """A decoded input."""

    task: Task
    photograph: DecodedImage
    sha256: str
    seconds: float  # that it has taken so far

    @property
    def input(self) -> str:
        """Its name."""
        return self.task.input

    @property
    def frames(self) -> list[Image]:
        """What there is to paint."""
        return [frame.pixels for frame in self.photograph.frames]


@dataclass(frozen=True)
class Painted:
    """A picture and what became of each of its frames."""

    picture: Picture
    frames: list[Image]

    @property
    def input(self) -> str:
        """Its name."""
        return self.picture.input


class Stopped(Exception):  # noqa: N818 (it is a state, not an error of the picture)
    """The destination takes no more; the text is for a person."""


def stopped(destination: object, error: OSError) -> str:
    """What to tell when a destination takes no more."""
    return f"{destination} cannot be written ({error.strerror or error}): mend that and run the same command again"


def tasks_of(table: pa.Table) -> list[Task]:
    """The tasks of a table of schema `TASKS`."""
    return [_task(values) for values in table.to_pylist()]


def results_of(rows: list[Row]) -> pa.Table:
    """A table of schema `RESULTS`."""
    return pa.Table.from_pylist([{key: getattr(row, key) for key in RESULTS.names} for row in rows], RESULTS)


def _task(values: dict[str, Any]) -> Task:
    return Task(values.pop("input"), values.pop("output"), values.pop("stamp"), Entry(**values))
