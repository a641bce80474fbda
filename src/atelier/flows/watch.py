"""Watching sources: pictures that are new or changed are restyled, again and again."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from atelier.flows import stylize
from atelier.flows.runs.terminal import say
from atelier.tasks.bulk.dry_run import pending_inputs
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.stylize import StylizeSummary
from atelier.tasks.runtime.errors import user_message
from atelier.tasks.storage.open_source import NoPictures

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """The seconds of a time like 30s, 1m or 2h.

    Raises:
        ValueError: it is no such time, or less than a second.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not found or (wanted := float(found[1]) * _UNITS[found[2]]) < 1:
        raise ValueError(f"--every {text!r} is no time of a second or more: write it like 30s, 1m or 2h")
    return wanted


def watch(
    job: StylizeRequest,
    every_s: float,
    *,
    done: Callable[[str, StylizeSummary], None],
) -> None:
    """Run a job whenever its sources have pictures that no run has finished; ends by an interruption only.

    A picture that changes, such as one that was still being copied, is restyled again. What may pass, like a full disk
    or a source that is away, is said once and tried again.

    Args:
        every_s: time from the end of a look to the next.
        done: gets the result of each run in words, and its counts.

    Raises:
        ValueError: the destination holds another job, or the job is not possible.
        JobCancelled: a person cancelled a run in Prefect, which ends the watching too.
    """
    say(f"looking into {', '.join(job.sources)} every {every_s:g} s until Ctrl-C")
    trouble = ""
    while True:
        try:
            if _has_work(job):
                with _interruptible():
                    summary = stylize.run(job, quiet=True)
                    done(stylize.describe(summary, str(job.destination)), summary)
            trouble = ""
        except stylize.JobCancelled:
            raise
        except (RuntimeError, OSError) as error:
            if (now := user_message(error)) != trouble:
                say(f"{now}; trying again every {every_s:g} s")
            trouble = now
        time.sleep(every_s)


@contextmanager
def _interruptible() -> Iterator[None]:
    """A block that Ctrl-C ends, though Prefect ignores it while a flow run ends."""
    interrupted = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupted:
        raise KeyboardInterrupt


def _has_work(job: StylizeRequest) -> bool:
    """Whether an input waits; sources without pictures have none."""
    try:
        _, _, waiting = pending_inputs(job)
    except NoPictures:
        return False
    return bool(waiting.num_rows)
