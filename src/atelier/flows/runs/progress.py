"""Progress of a stage: a bar on a terminal, plain lines elsewhere, and a progress artifact in Prefect's UI."""

import math
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from atelier.flows.runs.terminal import Verbosity, console, say, verbosity
from atelier.tasks.runtime.progress import RECORDS, Progress, Report, to_parent

LINE_EVERY_S = 5.0
ARTIFACT_EVERY_S = 2.0
RATE_WINDOW_S = 30.0
NO_RATE_S = 1.0  # at the beginning, without a rate
NO_PROMISE_S = 5.0  # and without a time left
LEAST_COUNTED = 10, 0.02  # units, or a share of all, from which a time left is promised
SMOOTHING_S = 10.0  # in which the time left follows a change of the rate


class ProgressRate:
    """The rate over the last half minute, which follows changes of speed.

    The start-up is left out, with the first units. The time left is the distance to an end that is averaged
    exponentially over SMOOTHING_S.
    """

    def __init__(self) -> None:
        self._observed: deque[tuple[float, int, int]] = deque()  # (seconds, units, images)
        self._begun = False  # whether first units are done
        self._end: float | None = None  # seconds of the same clock

    def observe(self, seconds: float, progress: Progress) -> None:
        """Add an observation: seconds of a monotonic clock, and what has been done."""
        if self._observed and progress.done < self._observed[-1][1]:  # another count begins
            self._observed.clear()
            self._begun, self._end = False, None
        elif self._observed and progress.done > self._observed[-1][1] and not self._begun:
            self._observed.clear()
            self._begun = True
        self._observed.append((seconds, progress.done, progress.images))
        while len(self._observed) > 2 and seconds - self._observed[0][0] > RATE_WINDOW_S:
            self._observed.popleft()
        (t0, done0, _), (t1, done1, _) = self._observed[0], self._observed[-1]
        units, share = LEAST_COUNTED
        too_few = done1 - done0 < min(units, share * progress.total)
        if t1 - t0 < NO_PROMISE_S or too_few or done1 <= done0 or progress.total <= progress.done:
            return
        end = t1 + (progress.total - done1) * (t1 - t0) / (done1 - done0)
        weight = 1 - math.exp(-(t1 - self._observed[-2][0]) / SMOOTHING_S)
        self._end = end if self._end is None else self._end + weight * (end - self._end)

    def describe(self, progress: Progress) -> str:
        """Text like "40/600 steps · 12.3 images/s · 1:23 left", as far as it is known."""
        parts = [f"{progress.done}/{progress.total} {progress.unit}" if progress.total else f"{progress.unit}"]
        (t0, done0, images0), (t1, done1, images1) = self._observed[0], self._observed[-1]
        if t1 - t0 >= NO_RATE_S and done1 > done0:
            if images1 > images0:
                parts.append(f"{(images1 - images0) / (t1 - t0):.1f} images/s")
            else:
                parts.append(f"{(done1 - done0) / (t1 - t0):.1f} {progress.unit}/s")
        if self._end is not None and progress.total > progress.done:
            left = max(1, round(self._end - t1))
            parts.append(f"{left // 60}:{left % 60:02d} left")
        if progress.note:
            parts.append(progress.note)
        return " · ".join(parts)


class _Artifact:
    """Prefect's progress artifact of this flow run; showing progress never fails the work.

    The stage of a parent that reads its progress has none: the parent's run shows it, stage after stage.
    """

    def __init__(self, stage: str) -> None:
        self._id: UUID | None = None
        self._last = 0.0
        if FlowRunContext.get() is not None and RECORDS not in os.environ:
            # in a synchronous flow Prefect returns no coroutine
            self._id = cast("UUID", create_progress_artifact(progress=0.0, description=f"{stage}: starting"))

    def show(self, progress: Progress, text: str, *, now: float, final: bool) -> None:
        if self._id is None or (now - self._last < ARTIFACT_EVERY_S and not final):
            return
        self._last = now
        share = 100.0 * progress.done / progress.total if progress.total else 0.0
        try:
            update_progress_artifact(self._id, min(share, 100.0), description=f"{progress.stage}: {text}")
        except (httpx.HTTPError, PrefectException):
            self._id = None


@contextmanager
def show_progress(stage: str, *, quiet: bool = False) -> Iterator[Report]:
    """A callback that shows the progress of a stage until the block ends; `quiet` shows nothing on the terminal."""
    rate, artifact = ProgressRate(), _Artifact(stage)
    with _display(stage, quiet=quiet) as show:

        def report(progress: Progress) -> None:
            now = time.monotonic()
            rate.observe(now, progress)
            final = bool(progress.total) and progress.done >= progress.total
            artifact.show(progress, rate.describe(progress), now=now, final=final)
            show(progress)

        yield report


@contextmanager
def _display(stage: str, *, quiet: bool = False) -> Iterator[Report]:
    """The progress on the terminal. The stage of a parent that reads its progress passes it on."""
    if RECORDS in os.environ:
        yield to_parent
    elif quiet or verbosity() is Verbosity.quiet:
        yield lambda progress: None
    elif console().is_terminal and verbosity() is Verbosity.normal:
        with _bar(stage) as report:
            yield report
    else:
        yield _lines()


@contextmanager
def _bar(stage: str) -> Iterator[Report]:
    """A bar, which stays on the terminal; a stage that had nothing to count leaves a line."""
    rate, last = ProgressRate(), Progress(stage, 0, 0, "starting")
    columns = TextColumn("{task.fields[stage]:<9}"), BarColumn(), TextColumn("{task.description}")
    # what is not ours leaves by descriptor 2, not by the display
    bar = Bar(*columns, console=console(), redirect_stdout=False, redirect_stderr=False)
    row = bar.add_task(last.unit, stage=stage, total=None)

    def report(progress: Progress) -> None:
        nonlocal last
        last = progress
        rate.observe(time.monotonic(), progress)
        bar.update(
            row,
            completed=progress.done,
            total=progress.total or None,
            description=rate.describe(progress),
            stage=progress.stage,
        )

    with bar:
        try:
            yield report
        finally:
            bar.update(row, visible=bool(last.total))
    if not last.total and last.unit != "starting":
        say(f"{last.stage:<9} {last.unit}")


def _lines() -> Report:
    """A line for the first and the last progress, and every LINE_EVERY_S between."""
    rate, last_line, last_done = ProgressRate(), 0.0, -1

    def report(progress: Progress) -> None:
        nonlocal last_line, last_done
        now = time.monotonic()
        rate.observe(now, progress)
        final = bool(progress.total) and progress.done >= progress.total
        always = final or last_done <= 0
        if now - last_line >= LINE_EVERY_S or (always and last_done != progress.done):
            last_line = now
            say(f"{progress.stage:<9} {rate.describe(progress)}")
        last_done = progress.done

    return report
