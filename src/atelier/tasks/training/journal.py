"""The journal of a training, an append-only file that a worker writes, and the logs that the driver makes of it.

The journal lies with the checkpoints. A run that was killed repeats the steps since its last checkpoint and writes
their entries again; entries are functions of the step, so they are equal and a reader takes the first.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

JOURNAL = "journal.jsonl"
GRIDS = "grids"


class JournalWriter:
    """Adds entries to the journal of a run, each a line that is on disk when `write` returns."""

    def __init__(self, run: Path) -> None:
        """Open the journal of a run's folder, which is made if needed."""
        run.mkdir(parents=True, exist_ok=True)
        self._file = (run / JOURNAL).open("ab")
        if self._file.tell():
            # the last line may have been cut off by a kill: end it
            self._file.write(b"\n")

    def write(self, **entry: Any) -> None:
        """Add an entry, of values that JSON knows."""
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class JournalReader:
    """Reads the journal of a run while it grows: every start, and each other kind of entry once for each step."""

    def __init__(self, run: Path) -> None:
        """Read from the beginning; there may be no journal yet."""
        self._path = run / JOURNAL
        self._offset = 0
        self._seen: dict[str, int] = {}

    def new(self) -> Iterator[dict[str, Any]]:
        """Entries added since the last call, whole lines only."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        content = content[: content.rfind(b"\n") + 1]
        self._offset += len(content)
        for line in content.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # empty, or cut off by a kill
            if entry["kind"] == "start" or entry["step"] > self._seen.get(entry["kind"], -1):
                self._seen[entry["kind"]] = entry["step"]
                yield entry


class TrainingLogs:
    """DVCLive's files and TensorBoard's events in one folder; each driver writes them anew from the journal."""

    def __init__(self, folder: Path) -> None:
        """Begin with an empty folder."""
        # slow to import, and imported by no worker
        from dvclive import Live
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

        class FilesOnly(Live):  # type: ignore[misc]
            """DVCLive without a repository: it would run `dvc init` in the git repository of the working folder."""

            def _init_dvc(self) -> None:
                self._dvc_file = self._init_dvc_file()

        self._live = FilesOnly(os.fspath(folder), dvcyaml=None, save_dvc_exp=False, report=None)
        self._board = SummaryWriter(folder / "tensorboard")

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Log the values at a step."""
        self._live.step = step
        for name, value in values.items():
            self._live.log_metric(name, value)
            self._board.add_scalar(name, value, step)
        self._live.make_summary()
        self._board.flush()

    def grid(self, step: int, picture: Path) -> None:
        """Log a PNG at a step."""
        import numpy as np
        from PIL import Image

        self._live.log_image(f"samples-{step:06}.png", os.fspath(picture))
        with Image.open(picture) as image:
            self._board.add_image("samples", np.asarray(image), step, dataformats="HWC")

    def __enter__(self) -> "TrainingLogs":
        """These logs."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is pending."""
        self._live.end()
        self._board.close()
