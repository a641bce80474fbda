"""What a job needs before it may begin; its checks change nothing, and a run and a dry run refuse the same."""

from atelier.models.configs import config_class
from atelier.models.controls import check_controls
from atelier.tasks.bulk.destination_errors import check_own
from atelier.tasks.bulk.job import JobFolder
from atelier.tasks.bulk.manifest import manifest_of
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.inference.controls import controls_from_config
from atelier.tasks.storage.open_destination import open_destination


def check_job(request: StylizeRequest) -> tuple[JobFolder, int]:
    """Check that a job may begin or continue at its destination.

    Returns:
        The job folder of the destination, and the first attempt whose ledger rows count.

    Raises:
        FileNotFoundError, NotADirectoryError, ValueError, RuntimeError: it may not; the message says what to do.
    """
    destination = open_destination(request.destination)
    controls = controls_from_config(request.config, request.base)
    check_controls(config_class(request.identity.method), controls)
    manifest, defaults = manifest_of(request, controls, destination)
    check_own(destination)
    job = JobFolder(destination)
    since, _ = job.match_manifest(manifest, defaults, replace=request.rerun.replace)
    return job, since
