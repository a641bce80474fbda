"""What a job needs before it may begin; its checks change nothing, and a run and a dry run refuse the same."""

from atelier.tasks.bulk.destination_errors import check_own
from atelier.tasks.bulk.job import JobFolder
from atelier.tasks.bulk.manifest import manifest_of
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.storage.open_destination import open_destination


def check_job(request: StylizeRequest) -> tuple[JobFolder, int]:
    """Check that a job may begin or continue at its destination.

    Returns:
        The job folder of the destination, and the first attempt whose ledger rows count.

    Raises:
        FileNotFoundError, NotADirectoryError, ValueError, RuntimeError: it may not; the message says what to do.
    """
    destination = open_destination(request.destination)
    manifest, defaults = manifest_of(request, request.controls(), destination)
    check_own(destination)
    job = JobFolder(destination)
    since, _ = job.match_manifest(manifest, defaults, replace=request.rerun.replace)
    return job, since
