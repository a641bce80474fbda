"""The results of a running job: counted, reported, and checked against the failure limit."""

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from atelier.tasks.bulk import failure_limit
from atelier.tasks.bulk.job import JobFolder
from atelier.tasks.bulk.videos import Videos
from atelier.tasks.runtime.progress import Progress, Report

COMPACT_BLOCKS = 512  # blocks after which the parts of the ledger are merged


def supervised(
    results: Iterator[pa.Table], job: JobFolder, counts: Mapping[str, int], max_quarantine: str
) -> Iterator[pa.Table]:
    """Pass results on; after each, check the failure limit and the lock, and merge the ledger's parts now and then.

    Args:
        results: tables of `RESULT_SCHEMA`.
        job: of the results.
        counts: number of inputs by state, which the consumer of the results updates.
        max_quarantine: the failure limit.

    Raises:
        RuntimeError: too many inputs are quarantined, or another process has taken the job over.
    """
    for number, result in enumerate(results, 1):
        yield result
        failure_limit.enforce(counts, max_quarantine, job.destination)
        if not job.lock_held():
            raise RuntimeError(f"another process has taken over the job in {job.destination}: leave it to that one")
        if number % COMPACT_BLOCKS == 0:
            job.ledger.compact()


def count_results(results: Iterable[pa.Table], counts: dict[str, int], videos: Videos, report: Report) -> None:
    """Count results by state and report the progress, until all inputs have ended.

    Raises:
        RuntimeError: a worker reports that the job must stop.
    """
    for result in results:
        for row in result.to_pylist():
            if row["state"] == "pending":
                raise RuntimeError(row["reason"])
            count(videos.settle(row["input"], row["state"]), counts)
        report(progress(counts, videos))
    count(videos.finish(), counts)
    report(progress(counts, videos))


def count(states: Iterable[str], counts: dict[str, int]) -> None:
    """Count inputs that have ended."""
    for state in states:
        counts[state] += 1
        counts["pending"] -= 1


def progress(counts: Mapping[str, int], videos: Videos | None = None) -> Progress:
    """The progress of a job, from its inputs by state, and the frames of its videos."""
    inputs, (painted, frames) = sum(counts.values()), (videos.done, videos.total) if videos else (0, 0)
    note = f"{counts['quarantined']} in quarantine" if counts["quarantined"] else ""
    unit = "images and frames" if frames else "images"
    return Progress("stylize", inputs - counts["pending"] + painted, inputs + frames, unit, note)
