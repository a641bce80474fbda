"""The watch of a running job in its driver: passes on what workers count, says what is waited for, and ends a job in
which nothing happens any more.

Workers are replaced by their own watches (`deadlines`). What remains is a cluster that starts no worker, a model that
does not load, and a worker that cannot be killed.
"""

import threading
import time
from contextlib import AbstractContextManager
from dataclasses import replace

from atelier.tasks.bulk.crash_markers import CrashMarkers
from atelier.tasks.bulk.deadlines import Note
from atelier.tasks.bulk.live_count import EVERY_S, read_counts
from atelier.tasks.runtime.interruption import interrupted_by
from atelier.tasks.runtime.progress import Progress, Report

QUIET_S = 30.0  # without a result, from which on the progress says what is waited for
START_S = 90.0  # for a worker to start in place of one that was killed, on a busy machine


class JobWatch:
    """Passes the progress of a job on, and notices that there is none.

    Args:
        markers: of the job, with the notes of slow workers.
        report: receives the progress, and what is waited for.
        timeout_s: after which workers are killed. The job ends after so long without a sign of life, and `START_S`.
    """

    def __init__(self, markers: CrashMarkers, report: Report, timeout_s: float) -> None:
        self.markers, self.passed_on, self.timeout_s = markers, report, timeout_s
        self.finished = self.alive = time.monotonic()
        self.recorded: Progress | None = None  # by the driver
        self.progress: Progress | None = None  # that was passed on
        self.passing = threading.Lock()
        self.before = self.counted = 0  # pictures that were finished before, and that workers have counted since
        self.workers_count = False  # until then nobody asks the destination for counts
        self.files, self.notes = set[str](), dict[str, Note]()  # of the workers

    def report(self, progress: Progress) -> None:
        """Pass on how many pictures are finished and recorded, and those that workers have counted besides."""
        with self.passing:
            if self.recorded is None:
                self.before = progress.done
            self.recorded = progress
            self._pass_on(progress)

    def _pass_on(self, recorded: Progress) -> None:
        """Never fewer than before; the last picture is finished when it is recorded."""
        counted = min(self.before + self.counted, recorded.total - 1)
        self.finished, self.progress = time.monotonic(), replace(recorded, done=max(recorded.done, counted))
        self.passed_on(self.progress)

    def watching(self) -> AbstractContextManager[None]:
        """A block with the work of the job. A job without any sign of life ends with a RuntimeError."""
        return interrupted_by(self.check, EVERY_S)

    def check(self) -> Exception | None:
        """Pass on what workers have counted, or say what is waited for; the error that ends the job."""
        counted = read_counts(self.markers.folder) if self.workers_count else 0
        with self.passing:
            if self.recorded and counted > self.counted:
                self.counted = counted
                self._pass_on(self.recorded)
        now = time.monotonic()
        if now - self.finished < QUIET_S:
            return None
        files, notes = self.markers.look()
        if (files, notes) != (self.files, self.notes):  # workers begin, end or are slow
            self.files, self.notes, self.alive = files, notes, now
        waiting = self._waiting()
        if not files and (room := _no_room()):
            waiting, self.alive = room, now
        if self.progress:
            self.passed_on(replace(self.progress, note=f"nothing finished for {now - self.finished:.0f} s: {waiting}"))
        silent = now - max(self.finished, self.alive)
        if silent < self.timeout_s + START_S:
            return None
        return RuntimeError(
            f"no sign of life from the workers for {silent:.0f} s ({waiting}): see whether the folders of the job can "
            "be reached and the cluster's processes run, then run the same command again; "
            "stylize.picture_timeout_s is the limit"
        )

    def _waiting(self) -> str:
        held = sorted((h for note in self.notes.values() for h in note.held), key=lambda one: -one[2])
        if not held:
            return "at the next pictures" if self.notes else "a worker starts" if self.files else "no worker has begun"
        return "; ".join(f"{stage} {name}, {seconds} s" for stage, name, seconds in held[:3])


def _no_room() -> str:
    """That no worker can start, because starting ones or other work have the cluster; "" where there is room."""
    import ray

    free, total = (of().get("CPU", 0) for of in (ray.available_resources, ray.cluster_resources))
    return "" if free >= 1 or total <= 1 else f"it waits for CPUs of the cluster, {free:g} of {total:g} are free"
