"""Generation: pictures from noise, by a generative model.

A picture depends on the model, the seed, its index, the truncation and chosen codes only: not on the number of
pictures, and not on interruptions. For equal bits, pictures run through the network in batches of one size, each at a
fixed place.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from atelier.models.card import ModelCard, ModelIdentity
from atelier.models.codes import check_codes
from atelier.models.configs import config_class
from atelier.tasks.images.codec import BadImage, center_square, decode, read_file
from atelier.tasks.images.provenance import Provenance, read, xmp_packet
from atelier.tasks.inference import generate_worker
from atelier.tasks.inference.config import GenerateConfig
from atelier.tasks.inference.generate_worker import BATCH, GenerateRequest, GivenPicture, file_name
from atelier.tasks.runtime import cluster, encoder_weights
from atelier.tasks.runtime.cluster import connected_keeping_sigterm
from atelier.tasks.runtime.files import write
from atelier.tasks.runtime.progress import Progress, Report, silent

TASK_BATCHES = 32  # batches of a Ray task
GRID, STRIPS, TRAVERSALS = "grid.png", "interpolation.png", "codes.png"
RECONSTRUCTIONS = "reconstructions.png"
FILM, MIXING = "interpolation.webp", "mixing.png"
MAX_SHOWN = 144  # pictures on the grid
MAX_CHARACTERS = 64  # on it, where there are some
POSES = 6  # of a character


@dataclass(frozen=True)
class GenerateSummary:
    """The result of a run."""

    count: int  # pictures in the folder
    made: int  # of these, by this run
    seconds: float  # duration of this run, with its start
    grid: Path
    strips: Path | None  # interpolations
    traversals: Path | None  # the first pictures with all values of each code
    reconstructions: Path | None  # given pictures and what the model makes of them
    film: Path | None  # through the interpolations
    mixing: Path | None  # pictures with the styles of others
    model: str
    version: str


def generate(
    request: GenerateRequest, destination: Path, report: Report = silent, *, connect: Callable[[], object]
) -> GenerateSummary:
    """Write `000000.png`, …, a contact sheet, and the sheets that are asked for. Existing files are kept.

    Args:
        request: what is asked for, see `check_request`; its model folder is readable on every node.
        destination: folder, created if needed.
        report: receives the progress, in images.
        connect: connects to Ray; called only when there is work.

    Raises:
        ValueError: the model is damaged, or files of these names are others.
        NotADirectoryError: the destination is a file.
    """
    started = time.monotonic()
    check_destination(destination)
    config, destination = request.config, destination.absolute()

    def exists(index: int) -> bool:
        return _exists(destination / file_name(index, config.poses), request.provenance({"index": index}))

    missing = [index for index in range(config.count) if not exists(index)]
    shown = range(min(config.count, MAX_CHARACTERS * config.poses if config.poses > 1 else MAX_SHOWN))
    sheet = request.provenance({"pictures": len(shown)})
    sheets = _sheets(request)
    due = {name: made for name, made in sheets.items() if not _exists(destination / name, made[1], replaceable=True)}
    report(Progress("generate", config.count - len(missing), config.count, "images"))
    if missing or due:
        destination.mkdir(parents=True, exist_ok=True)
        with connected_keeping_sigterm(connect):
            _generate_missing(request, destination, missing, report)
            for name, (draw, record) in due.items():
                write(destination / name, cluster.get_result(_remote(draw).remote(request, xmp_packet(record))))
    if missing or not _exists(destination / GRID, sheet, replaceable=True):
        pictures = [decode((destination / file_name(index, config.poses)).read_bytes()) for index in shown]
        write(destination / GRID, generate_worker.grid(pictures, config.poses, xmp_packet(sheet)))
    return GenerateSummary(
        count=config.count,
        made=len(missing),
        seconds=round(time.monotonic() - started, 3),
        grid=destination / GRID,
        strips=destination / STRIPS if STRIPS in sheets else None,
        traversals=destination / TRAVERSALS if TRAVERSALS in sheets else None,
        reconstructions=destination / RECONSTRUCTIONS if RECONSTRUCTIONS in sheets else None,
        film=destination / FILM if FILM in sheets else None,
        mixing=destination / MIXING if MIXING in sheets else None,
        model=request.identity.name,
        version=request.identity.version,
    )


def check_request(config: GenerateConfig, model: Path, identity: ModelIdentity) -> GenerateRequest:
    """Check that a model generates what is asked for, and read the pictures that are given.

    Args:
        config: parameters.
        model: the model folder.
        identity: of the model.

    Raises:
        ValueError: it stylizes instead, and the message names the command to use; or it has no such code or value, or
            no encoder.
        FileNotFoundError, ValueError: a given picture is missing, or cannot be read.
    """
    if not config_class(identity.method).generates:
        raise ValueError(
            f"{identity.label} was trained by {identity.method}, which paints pictures and makes none from noise: "
            "use `atelier stylize`"
        )
    settings: Any = ModelCard.read(model).settings
    check_codes(dict(config.codes), settings.codes, identity.label)
    if config.reconstruct and not settings.reconstructs:
        raise ValueError(f"{identity.label} has no encoder, so that it reconstructs no pictures: train one by vae")
    if config.like and any(settings.codes) and not settings.layers:
        raise ValueError(f"{identity.label} has codes of categories, which cannot be found in a picture: use --code")
    if config.mix and not settings.layers:
        raise ValueError(f"{identity.label} has no layers whose styles could be mixed: train one by stylegan")
    like = _given(config.like, settings.size_px) if config.like else None
    reconstruct = tuple(_given(path, settings.size_px) for path in config.reconstruct)
    return GenerateRequest(config, model.absolute(), identity, settings.codes, like, reconstruct)


def check_destination(destination: Path) -> None:
    """Check that a folder is there or can be made. Raises NotADirectoryError where a file is in its place."""
    folder = destination.absolute()
    nearest = next(one for one in (folder, *folder.parents) if one.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is a file: choose a folder")


def _given(path: Path, size_px: int) -> GivenPicture:
    """A picture file as a model sees it. Raises FileNotFoundError, or BadImage, which names the file."""
    data = read_file(path)
    try:
        return GivenPicture(hashlib.sha256(data).hexdigest(), center_square(decode(data), size_px))
    except BadImage as error:
        raise BadImage(f"{path} cannot be read: {error}") from error


def _sheets(request: GenerateRequest) -> dict[str, tuple[Any, Provenance]]:
    """The sheets that workers draw, beside the grid: by name of the file the function, and its provenance."""
    config = request.config
    ways = {"pictures": config.count, "interpolate": config.interpolate}
    sheets: dict[str, tuple[Any, dict[str, Any]]] = {}
    if config.interpolate:
        sheets[STRIPS] = generate_worker.interpolations, ways
    if config.video:
        sheets[FILM] = generate_worker.film, ways
    if config.mix:
        sheets[MIXING] = generate_worker.mixing, {"mix": config.mix}
    if request.codes:
        sheets[TRAVERSALS] = generate_worker.traversals, {}
    drawn = {name: (draw, request.provenance(given)) for name, (draw, given) in sheets.items()}
    if request.reconstruct:
        given = {"pictures": [one.sha256 for one in request.reconstruct]}
        drawn[RECONSTRUCTIONS] = generate_worker.reconstructions, Provenance(request.identity, given, "")
    return drawn


def _exists(path: Path, wanted: Provenance, *, replaceable: bool = False) -> bool:
    """Whether a file exists and is the wanted picture.

    Args:
        path: of the file.
        wanted: its provenance.
        replaceable: whether another picture by atelier may be replaced, as a contact sheet of fewer pictures.

    Raises:
        ValueError: it is another file, which is not overwritten.
    """
    if not path.exists():
        return False
    try:
        found = read(path.read_bytes()) if path.is_file() else None  # a pipe would wait for somebody to write
    except BadImage:
        found = None
    if found is not None and (found.model, found.parameters) == (wanted.model, wanted.parameters):
        return True
    if found is not None and replaceable:
        return False
    raise ValueError(f"{path} is another picture: choose another destination")


def _generate_missing(request: GenerateRequest, destination: Path, missing: Sequence[int], report: Report) -> None:
    """Generate the missing pictures in Ray tasks."""
    by_batch = [list(batch) for _, batch in groupby(missing, lambda index: index // BATCH)]
    near = None
    if request.like and missing:
        weights = encoder_weights.resolve(generate_worker.COMPARED_IN)
        near = _remote(generate_worker.find_latents).remote(request, weights)
    tasks = [
        _remote(generate_worker.write_batches).remote(
            request, destination, by_batch[start : start + TASK_BATCHES], near
        )
        for start in range(0, len(by_batch), TASK_BATCHES)
    ]
    done = request.config.count - len(missing)
    for made in cluster.finished(tasks):
        done += made
        report(Progress("generate", done, request.config.count, "images"))


def _remote(work: Callable[..., Any]) -> Any:
    """A function as a Ray task with one CPU."""
    import ray

    return ray.remote(work).options(num_cpus=1)
