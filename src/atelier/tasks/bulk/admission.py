"""What a job needs: checks before it may begin, which change nothing and are the same for a dry run, and memory."""

from pathlib import Path

from atelier.models.card import ModelCard
from atelier.tasks.bulk.job import JobFolder
from atelier.tasks.bulk.manifest import check_own, manifest_of
from atelier.tasks.bulk.messages import JobSpec, JobStep
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.inference.execution_plan import chain_scales
from atelier.tasks.inference.input_limits import limits_for
from atelier.tasks.storage.open_destination import open_destination

PIXEL_BYTES = 600  # memory of the default generator for each pixel of a picture painted in one piece
TILED_PIXEL_BYTES = 100  # the same in tiles; includes the file, its pixels and prefetched files
ENLARGED_PIXEL_BYTES = 60  # the same of a picture that is painted smaller and enlarged, beside what is painted
LARGER_PIXEL_BYTES = 20  # memory for each pixel of an output that is larger than its input, beside what is painted
FILTERS = 24  # channels at full resolution up to which these two numbers hold
CHAIN_PIXEL_BYTES = 24  # memory for each pixel between two models of a chain: float32, of the picture before and after


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


def image_memory(pixels: int, spec: JobSpec) -> int:
    """Peak memory of stylizing a picture of so many pixels, in bytes."""
    pixels = min(pixels, limits_for(spec.config, *spec.plans).max_pixels)
    between = CHAIN_PIXEL_BYTES * pixels if len(spec.steps) > 1 else 0
    return max(
        _step_memory(scale**2 * pixels, step) + scale**2 * between
        for step, (_, scale) in zip(spec.steps, chain_scales(spec.plans), strict=True)
    )


def _step_memory(painted: int, step: JobStep) -> int:
    """The same of one model of the job, of pictures of so many pixels."""
    plan, enlarged = step.execution.plan, 0.0
    if plan.scale != 1:
        enlarged = LARGER_PIXEL_BYTES * painted * plan.scale**2
    if plan.reference_px:
        enlarged = ENLARGED_PIXEL_BYTES * painted
        painted = int(min(painted, plan.reference_px**2) / plan.stroke**2)
    painting = max(PIXEL_BYTES * min(painted, plan.whole_pixels), TILED_PIXEL_BYTES * painted)
    return int(_width(step.model) * painting + enlarged)


def _width(model: Path) -> float:
    """Ratio of the generator's channels, and so of its memory, to the default generator's; at least 1."""
    return max(1.0, ModelCard.read(model).settings.channels / FILTERS)
