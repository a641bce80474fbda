"""The results of a running job: counted, reported, and checked against the failure limit."""

from collections.abc import Iterator, Mapping

import pyarrow as pa

from atelier.tasks.bulk import failure_limit
from atelier.tasks.bulk.job import JobFolder
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


def count_results(results: Iterator[pa.Table], counts: dict[str, int], report: Report) -> None:
    """Count results by state and report the progress.

    Raises:
        RuntimeError: a worker reports that the job must stop.
    """
    for result in results:
        for state, reason in zip(result["state"].to_pylist(), result["reason"].to_pylist(), strict=True):
            if state == "pending":
                raise RuntimeError(reason)
            counts[state] += 1
            counts["pending"] -= 1
        report(progress(counts))


def progress(counts: Mapping[str, int]) -> Progress:
    """The progress of a job, from its inputs by state."""
    total = sum(counts.values())
    note = f"{counts['quarantined']} in quarantine" if counts["quarantined"] else ""
    return Progress("stylize", total - counts["pending"], total, "images", note)
