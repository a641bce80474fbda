"""Progress of a stage: a bar on a terminal, plain lines elsewhere, and a progress artifact in Prefect's UI."""

import sys
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
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from atelier.tasks.runtime.progress import Progress, Report

LINE_EVERY_S = 5.0
ARTIFACT_EVERY_S = 2.0
RATE_WINDOW_S = 30.0


class ProgressRate:
    """The rate over the last half minute, which leaves the start-up out and follows changes of speed."""

    def __init__(self) -> None:
        self._observed: deque[tuple[float, int, int]] = deque()  # (seconds, units, images)

    def observe(self, seconds: float, done: int, images: int) -> None:
        """Add an observation: seconds of a monotonic clock, units of work done, images processed."""
        self._observed.append((seconds, done, images))
        while len(self._observed) > 2 and seconds - self._observed[0][0] > RATE_WINDOW_S:
            self._observed.popleft()

    def describe(self, progress: Progress) -> str:
        """Text like "40/600 steps · 12.3 images/s · 1:23 left", as far as it is known."""
        parts = [f"{progress.done}/{progress.total} {progress.unit}" if progress.total else f"{progress.unit}"]
        (t0, done0, images0), (t1, done1, images1) = self._observed[0], self._observed[-1]
        if t1 > t0 and done1 > done0:
            rate = (done1 - done0) / (t1 - t0)
            if images1 > images0:
                parts.append(f"{(images1 - images0) / (t1 - t0):.1f} images/s")
            else:
                parts.append(f"{rate:.1f} {progress.unit}/s")
            if progress.total > progress.done:
                left = (progress.total - progress.done) / rate
                parts.append(f"{int(left) // 60}:{int(left) % 60:02d} left")
        if progress.note:
            parts.append(progress.note)
        return " · ".join(parts)


class _Artifact:
    """Prefect's progress artifact of this flow run; showing progress never fails the work."""

    def __init__(self, stage: str) -> None:
        self._id: UUID | None = None
        self._last = 0.0
        if FlowRunContext.get() is not None:
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
    console = Console(stderr=True)
    rate, artifact = ProgressRate(), _Artifact(stage)
    last_line, last_done = 0.0, -1
    live = console.is_terminal and not quiet
    bar = Bar(TextColumn("{task.fields[stage]:<9}"), BarColumn(), TextColumn("{task.description}"), console=console)
    row = bar.add_task("starting", stage=stage, total=None)

    def report(progress: Progress) -> None:
        nonlocal last_line, last_done
        now = time.monotonic()
        rate.observe(now, progress.done, progress.images)
        text = rate.describe(progress)
        final = bool(progress.total) and progress.done >= progress.total
        always = final or last_done <= 0  # the first and the last line are always shown
        artifact.show(progress, text, now=now, final=final)
        if live:
            total = progress.total or None
            bar.update(row, completed=progress.done, total=total, description=text, stage=progress.stage)
        elif not quiet and (now - last_line >= LINE_EVERY_S or (always and last_done != progress.done)):
            last_line = now
            print(f"{progress.stage:<9} {text}", file=sys.stderr, flush=True)
        last_done = progress.done

    if live:
        bar.start()
    try:
        yield report
    finally:
        if live:
            bar.stop()
