"""The videos of a run, in its driver: cut into chunks, which are tasks of their own, and joined when all are painted.

A video is one input with one row in the ledger, written when its output is complete. Until then each of its chunks has
a row of its own, named `VIDEO/chunk 00012`. A job that was killed continues with the chunks that are left.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from atelier.tasks.bulk.inputs import are_videos
from atelier.tasks.bulk.job import JobFolder
from atelier.tasks.bulk.messages import TASK_SCHEMA, JobSpec, Task, read_tasks
from atelier.tasks.bulk.video_chunks import (
    chunk_file,
    chunk_name,
    chunk_task,
    join_chunks,
    stamp_of,
    store_index,
    stored_index,
    video_of,
)
from atelier.tasks.runtime.progress import Progress, Report
from atelier.tasks.video.index import VideoIndex

CRASHED = "crashed the decoder, or took longer than stylize.picture_timeout_s"


@dataclass
class _Video:
    """A video that is being painted."""

    task: Task
    waiting: set[str]  # chunks without a result
    problem: tuple[str, str] | None = None  # stage and reason of the first chunk that failed
    joining: Any = None  # the reference of its result


class Videos:
    """The videos of a run, in its driver.

    Args:
        job: whose ledger has the chunks that are there.
        spec: of the run.
        since: first attempt whose ledger rows count.
        report: receives the progress while videos are read.
    """

    def __init__(self, job: JobFolder, spec: JobSpec, since: int, report: Report) -> None:
        self.job, self.spec, self.since, self.report = job, spec, since, report
        self.videos: dict[str, _Video] = {}
        self.frames: dict[str, int] = {}  # of each chunk that waits
        self.total = self.done = 0  # frames of these chunks, and those that are painted
        self.ended: list[str] = []  # states of videos that have ended and are not counted

    def cut(self, tasks: pa.Table) -> pa.Table:
        """The tasks (`TASK_SCHEMA`) with the chunks that are to be painted in place of the videos.

        Raises:
            RuntimeError: an index cannot be stored.
        """
        mask = are_videos(tasks["input"])
        videos = read_tasks(tasks.filter(mask))
        if not videos:
            return tasks
        indexes = {task.input: self._index(task) for task in videos}
        waiting = [task for task in videos if indexes[task.input] is None]
        problems = dict(zip([task.input for task in waiting], self._store(waiting), strict=True))
        indexes |= {task.input: self._index(task) for task in waiting if not problems[task.input]}
        ledger = self.job.ledger.read(("input", "stamp", "state", "bytes", "attempt"))
        rows = [
            row
            for task in videos
            for row in self._rows(task, indexes[task.input], problems.get(task.input, ""), ledger)
        ]
        others = tasks.filter(pc.invert(mask))
        return pa.concat_tables([others, pa.Table.from_pylist(rows, TASK_SCHEMA)]).combine_chunks()

    def settle(self, input: str, state: str) -> list[str]:
        """Take the result of a task; the states of inputs that have ended with it, for the counts."""
        if not (frames := self.frames.pop(input, 0)):
            return [state]
        self.done += frames
        video = self.videos[video_of(input)]
        video.waiting.discard(input)
        if state != "done":
            video.problem = video.problem or self._problem(input)
        self._end(video)
        return self._take_ended(wait=False)

    def finish(self) -> list[str]:
        """The states of the videos that are still being joined, when they have ended.

        Raises:
            RuntimeError: the job must stop; the message is the reason.
        """
        return self._take_ended(wait=True)

    def _index(self, task: Task) -> VideoIndex | None:
        """The index that is stored of a video, None where it is to be read."""
        return stored_index(self.job.destination, task.input, stamp_of(task, self.spec))

    def _store(self, tasks: Sequence[Task]) -> Iterator[str]:
        """Store the indexes of videos; yields the reason where one cannot be read."""
        import ray
        from ray.exceptions import RayError

        from atelier.tasks.runtime import cluster

        remote = ray.remote(num_cpus=1, max_retries=0)(store_index)
        refs = [remote.remote(task, self.spec) for task in tasks]
        for number, (ref, task) in enumerate(zip(refs, tasks, strict=True)):
            self.report(Progress("read", number, len(refs), "videos", task.input))
            try:
                yield cluster.get_result(ref)
            except RayError:
                yield CRASHED
            except OSError as error:
                raise RuntimeError(self.spec.stopped(task.input, error).reason) from error

    def _rows(self, task: Task, index: VideoIndex | None, problem: str, ledger: pa.Table) -> Iterator[dict[str, Any]]:
        """The tasks of a video's chunks that are not there yet; a video without any is ended."""
        if index is None:
            self._quarantine(task, "decode", problem or "its index is gone")
            return
        names = [chunk_name(task.input, number) for number in range(len(index.cuts))]
        there = self._there(task, names, ledger)
        video = self.videos[task.input] = _Video(task, set(names) - there)
        for number, name in enumerate(names):
            if name not in there:
                self.frames[name] = len(index.chunk(number))
                self.total += self.frames[name]
                yield chunk_task(task, self.spec, index, number)
        self._end(video)

    def _there(self, task: Task, names: Sequence[str], ledger: pa.Table) -> set[str]:
        """The chunks that an earlier run has painted."""
        rows = ledger.filter(pc.is_in(ledger["input"], pa.array(names, pa.string())))
        sizes = self.job.destination.sizes([chunk_file(task.input, number) for number in range(len(names))])
        size_of, stamp = dict(zip(names, sizes, strict=True)), stamp_of(task, self.spec)
        return {
            row["input"]
            for row in rows.to_pylist()
            if row["state"] == "done" and row["stamp"] == stamp and row["attempt"] >= self.since
            and row["bytes"] == size_of[row["input"]]
        }  # fmt: skip

    def _problem(self, chunk: str) -> tuple[str, str]:
        """Stage and reason of a chunk that failed."""
        rows = self.job.ledger.read(("input", "stage", "reason"))
        (found,) = rows.filter(pc.equal(rows["input"], chunk)).to_pylist()
        return found["stage"], f"{chunk.rpartition('/')[2]}: {found['reason']}"

    def _end(self, video: _Video) -> None:
        """End a video whose chunks all have results: begin to join them, or put it into quarantine."""
        import ray

        if video.waiting:
            return
        if video.problem:
            self._quarantine(video.task, *video.problem)
        else:
            remote = ray.remote(num_cpus=1, max_retries=0)(join_chunks)
            video.joining = remote.remote(video.task, self.spec)

    def _quarantine(self, task: Task, stage: str, reason: str) -> None:
        self.job.ledger.append([self.spec.quarantined(task, stage, reason)])
        self.ended.append("quarantined")

    def _take_ended(self, *, wait: bool) -> list[str]:
        """States of videos that have ended, each once."""
        import ray
        from ray.exceptions import RayError

        from atelier.tasks.runtime import cluster

        for video in [one for one in self.videos.values() if one.joining is not None]:
            if not wait and not ray.wait([video.joining], timeout=0)[0]:
                continue
            try:
                row = cluster.get_result(video.joining)
            except RayError:
                self._quarantine(video.task, "write", "its worker crashed while its chunks were joined")
            else:
                if row.state == "pending":
                    raise RuntimeError(row.reason)
                self.ended.append(row.state)
            video.joining = None
        ended, self.ended = self.ended, []
        return ended
