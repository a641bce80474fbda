"""The commands that the gallery's buttons run: the same as a person types, each a process with its output."""

import shlex
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from atelier.flows.runs.terminal import LOG
from atelier.tasks.runtime import processes

SHOWN_BYTES = 20_000  # of the output, its end
ENDS = {None: "running", 0: "done", 3: "done, some pictures are in quarantine"}  # by exit code
COLOURS = {ENDS[None]: "calm", ENDS[0]: "good", ENDS[3]: "calm"}  # other ends are bad


@dataclass(frozen=True)
class Command:
    """A command that was started. It goes on when the gallery ends."""

    words: tuple[str, ...]
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def line(self) -> str:
        """The command as a person would type it."""
        return shlex.join(self.words)

    @property
    def ended(self) -> str:
        """How far it is: one of `ENDS`, or its exit code."""
        code = self.process.poll()
        return ENDS.get(code, f"exit code {code}")

    @property
    def output(self) -> str:
        """The end of what it wrote."""
        with self.log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - SHOWN_BYTES))
            return file.read().decode("utf-8", "replace")


@dataclass
class Commands:
    """The commands that were started here."""

    folder: Path  # in which they run: the workspace
    logs: Path  # folder of their output
    started: list[Command] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, *arguments: str) -> int:
        """Start `atelier` with arguments; the command's number in `started`."""
        words = ("atelier", *arguments)
        variables = {name: value for name, value in processes.environment().items() if name != LOG}  # it has its own
        with self._lock:
            number = len(self.started)
            log = self.logs / f"{number}.log"  # of an earlier gallery: written anew
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as output:
                process = subprocess.Popen(
                    words, cwd=self.folder, env=variables, stdin=subprocess.DEVNULL, stdout=output,
                    stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            self.started.append(Command(words, process, log))
            return number

    @property
    def recent(self) -> Sequence[tuple[int, Command]]:
        """All of them with their numbers, the newest first."""
        return list(enumerate(self.started))[::-1]
