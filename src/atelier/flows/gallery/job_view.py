"""Looking at a bulk job: its inputs by state, and an input beside its output. Nothing is changed, no lock is taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from atelier.tasks.bulk.inputs import list_inputs
from atelier.tasks.bulk.job import JobFolder, JobState
from atelier.tasks.bulk.messages import ENTRY_FIELDS
from atelier.tasks.bulk.request import StylizeRequest, read_request
from atelier.tasks.images.codec import ImageLimits, Pixels
from atelier.tasks.storage.entry import Entry
from atelier.tasks.storage.open_destination import open_destination
from atelier.tasks.video.still import shown_input, shown_output


@dataclass(frozen=True)
class JobView:
    """A job as it was when it was opened."""

    job: JobFolder
    request: StylizeRequest
    inputs: pa.Table  # `INPUT_SCHEMA`
    state: JobState  # of these inputs

    def page(self, state: str, number: int, size: int) -> Sequence[dict[str, Any]]:
        """Inputs in a state: the page with a number from 1, with `index`, input, output, stage and reason."""
        rows = self.state.rows
        found = rows.append_column("index", pa.array(range(rows.num_rows), pa.int64()))
        chosen = found.filter(pc.equal(found["state"], state)).slice((number - 1) * size, size)
        rows_of_page: list[dict[str, Any]] = chosen.select(["index", "input", "output", "stage", "reason"]).to_pylist()
        return rows_of_page

    def before(self, index: int) -> Pixels:
        """The input in a row.

        Raises:
            IndexError: there is no such row.
            BadImage: it cannot be read.
        """
        row = self._row(self.inputs, index)
        limits = ImageLimits(self.request.config.max_bytes, self.request.config.max_pixels)
        return shown_input(Entry(**{name: row[name] for name in ENTRY_FIELDS}), limits)

    def after(self, index: int) -> Pixels:
        """The output of the input in a row.

        Raises:
            IndexError: there is no such row.
            BadImage, OSError: it has none, or it cannot be read.
        """
        return shown_output(self.job.destination, self._row(self.state.rows, index)["output"] or "")

    @staticmethod
    def _row(table: pa.Table, index: int) -> dict[str, Any]:
        if not 0 <= index < table.num_rows:
            raise IndexError(f"there is no picture {index}")
        row: dict[str, Any] = table.slice(index, 1).to_pylist()[0]
        return row


def open_view(destination: str) -> JobView:
    """The job at a destination, as it is now.

    Raises:
        FileNotFoundError: there is no job, or a source is gone.
        ValueError: the state of the job is damaged.
    """
    job = JobFolder(open_destination(destination))
    request, since = read_request(destination), job.manifest().get("since", 1)
    inputs = list_inputs(request.sources, request.base, request.selection)
    return JobView(job, request, inputs, job.state(inputs.select(["input", "stamp"]), since))
