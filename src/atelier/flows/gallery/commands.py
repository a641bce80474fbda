"""The commands that the gallery's buttons run: the same as a person types, each a process with its output."""

import shlex
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from atelier.tasks.runtime import processes

SHOWN_BYTES = 20_000  # of the output, its end


@dataclass(frozen=True)
class Command:
    """A command that was started. It goes on when the gallery ends."""

    words: tuple[str, ...]
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    @property
    def line(self) -> str:
        """The command as a person would type it."""
        return shlex.join(self.words)

    @property
    def ended(self) -> str:
        """ "running", "done", or how it ended else."""
        code = self.process.poll()
        return "running" if code is None else "done" if code == 0 else f"exit code {code}"

    @property
    def output(self) -> str:
        """The end of what it wrote."""
        with Path(self.log.name).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - SHOWN_BYTES))
            return file.read().decode("utf-8", "replace")


@dataclass
class Commands:
    """The commands that were started here."""

    folder: Path  # in which they run: the workspace
    started: list[Command] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, *arguments: str) -> int:
        """Start `atelier` with arguments; the command's number in `started`."""
        log = tempfile.NamedTemporaryFile(prefix="atelier-gallery-")  # noqa: SIM115 (open as long as it is shown)
        words = ("atelier", *arguments)
        process = subprocess.Popen(
            words, cwd=self.folder, env=processes.environment(), stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        with self._lock:
            self.started.append(Command(words, process, log))
            return len(self.started) - 1

    @property
    def recent(self) -> Sequence[tuple[int, Command]]:
        """All of them with their numbers, the newest first."""
        return list(enumerate(self.started))[::-1]
