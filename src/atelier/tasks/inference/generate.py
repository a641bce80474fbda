"""Generation: pictures from noise, by a generative model.

A picture depends on the model, the seed, its index, the truncation and chosen codes only: not on the number of
pictures, and not on interruptions. For equal bits, pictures run through the network in batches of one size, each at a
fixed place.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from atelier.models.card import MODEL_CARD, ModelCard, ModelIdentity
from atelier.models.codes import check_codes
from atelier.models.configs import config_class
from atelier.tasks.images import png
from atelier.tasks.images.codec import BadImage, decode
from atelier.tasks.images.codec import load as load_picture
from atelier.tasks.images.provenance import Provenance, read, xmp_packet
from atelier.tasks.inference import generate_sheets
from atelier.tasks.inference.config import GenerateConfig
from atelier.tasks.runtime import cluster, encoder_weights
from atelier.tasks.runtime.cluster import connected_keeping_sigterm
from atelier.tasks.runtime.files import write
from atelier.tasks.runtime.progress import Progress, Report, silent

BATCH = 8  # pictures of a forward pass
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
    config: GenerateConfig,
    destination: Path,
    model: Path,
    identity: ModelIdentity,
    report: Report = silent,
    *,
    connect: Callable[[], object],
) -> GenerateSummary:
    """Write `000000.png`, …, a contact sheet, and the sheets that are asked for. Existing files are kept.

    Args:
        config: parameters.
        destination: folder, created if needed.
        model: the model folder, readable on every node.
        identity: of the model.
        report: receives the progress, in images.
        connect: connects to Ray; called only when there is work.

    Raises:
        ValueError: the model does not generate what is asked for, is damaged, or files of these names are others.
        NotADirectoryError: the destination is a file.
    """
    started = time.monotonic()
    codes = check_generates(identity, model, config)
    destination, model = destination.absolute(), model.absolute()
    if destination.exists() and not destination.is_dir():
        raise NotADirectoryError(f"{destination} is a file: choose a folder")

    def exists(index: int) -> bool:
        return _exists(destination / file_name(index, config.poses), _provenance(config, identity, index))

    missing = [index for index in range(config.count) if not exists(index)]
    shown = range(min(config.count, MAX_CHARACTERS * config.poses if config.poses > 1 else MAX_SHOWN))
    sheet = Provenance(identity, _parameters(config) | {"pictures": len(shown)}, "")
    sheets = _sheets(config, identity, codes)
    due = {name: made for name, made in sheets.items() if not _exists(destination / name, made[1], replaceable=True)}
    report(Progress("generate", config.count - len(missing), config.count, "images"))
    if missing or due:
        destination.mkdir(parents=True, exist_ok=True)
        with connected_keeping_sigterm(connect):
            _generate_missing(config, destination, model, identity, missing, report)
            for name, (draw, record) in due.items():
                write(destination / name, cluster.get_result(_remote(draw).remote(config, model, xmp_packet(record))))
    if missing or not _exists(destination / GRID, sheet, replaceable=True):
        pictures = [decode((destination / file_name(index, config.poses)).read_bytes()) for index in shown]
        write(destination / GRID, generate_sheets.grid(pictures, config.poses, xmp_packet(sheet)))
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
        model=identity.name,
        version=identity.version,
    )


def check_generates(identity: ModelIdentity, model: Path, config: GenerateConfig) -> tuple[int, ...]:
    """Check that a model generates pictures, and has the codes that are chosen. Returns those that it has.

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
    settings = ModelCard.read(model).settings
    check_codes(dict(config.codes), settings.codes, identity.label)
    if config.reconstruct and not settings.reconstructs:
        raise ValueError(f"{identity.label} has no encoder, so that it reconstructs no pictures: train one by vae")
    if config.like and any(settings.codes) and not settings.layers:
        raise ValueError(f"{identity.label} has codes of categories, which cannot be found in a picture: use --code")
    given = (*(("reconstruct", path) for path in config.reconstruct), *([("like", config.like)] if config.like else []))
    for option, path in given:
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: --{option} takes a picture")
        load_picture(path)
    if config.mix and not settings.layers:
        raise ValueError(f"{identity.label} has no layers whose styles could be mixed: train one by stylegan")
    codes: tuple[int, ...] = settings.codes
    return codes


def _sheets(
    config: GenerateConfig, identity: ModelIdentity, codes: tuple[int, ...]
) -> dict[str, tuple[Any, Provenance]]:
    """The sheets that workers draw, beside the grid: by name of the file the function, and its provenance."""
    ways = {"pictures": config.count, "interpolate": config.interpolate}
    sheets: dict[str, tuple[Any, dict[str, Any]]] = {}
    if config.interpolate:
        sheets[STRIPS] = generate_sheets.interpolations, ways
    if config.video:
        sheets[FILM] = generate_sheets.film, ways
    if config.mix:
        sheets[MIXING] = generate_sheets.mixing, {"mix": config.mix}
    if codes:
        sheets[TRAVERSALS] = generate_sheets.traversals, {}
    own = _parameters(config)
    drawn = {name: (draw, Provenance(identity, own | given, "")) for name, (draw, given) in sheets.items()}
    if config.reconstruct:
        given = [hashlib.sha256(path.read_bytes()).hexdigest() for path in config.reconstruct]
        drawn[RECONSTRUCTIONS] = generate_sheets.reconstructions, Provenance(identity, {"pictures": given}, "")
    return drawn


def file_name(index: int, poses: int = 1) -> str:
    """Name of a picture's file; of a character's the number of the character, and of its pose."""
    return f"{index:06}.png" if poses == 1 else f"{index // poses:06}-{index % poses:02}.png"


def _parameters(config: GenerateConfig) -> dict[str, Any]:
    """The parameters in the provenance of every picture."""
    given: dict[str, Any] = {} if config.truncation is None else {"truncation": config.truncation}
    if config.codes:
        given["codes"] = {str(code): value for code, value in sorted(config.codes)}
    if config.poses > 1:
        given["poses"] = config.poses
    if config.like:
        given["like"] = config.like_sha256
    return {"seed": config.seed, **given}


def _provenance(config: GenerateConfig, identity: ModelIdentity, index: int) -> Provenance:
    return Provenance(identity, _parameters(config) | {"index": index}, "")


def _exists(path: Path, wanted: Provenance, *, replaceable: bool = False) -> bool:
    """Whether a file exists and is the wanted picture.

    Args:
        path: of the file.
        wanted: its provenance.
        replaceable: whether another picture by atelier may be replaced, as a contact sheet of fewer pictures.

    Raises:
        ValueError: it is another file, which is not overwritten.
    """
    try:
        found = read(path.read_bytes())
    except FileNotFoundError:
        return False
    except BadImage:
        found = None
    if found is not None and (found.model, found.parameters) == (wanted.model, wanted.parameters):
        return True
    if found is not None and replaceable:
        return False
    raise ValueError(f"{path} is another picture: choose another destination")


def _generate_missing(
    config: GenerateConfig,
    destination: Path,
    model: Path,
    identity: ModelIdentity,
    missing: Sequence[int],
    report: Report,
) -> None:
    """Generate the missing pictures in Ray tasks."""
    by_batch = [list(batch) for _, batch in groupby(missing, lambda index: index // BATCH)]
    near = None
    if config.like:
        weights = encoder_weights.resolve(generate_sheets.COMPARED_IN)
        near = _remote(generate_sheets.find_latents).remote(model, config.like, weights)
    tasks = [
        _remote(write_batches).remote(
            config, destination, model, identity, by_batch[start : start + TASK_BATCHES], near
        )
        for start in range(0, len(by_batch), TASK_BATCHES)
    ]
    done = config.count - len(missing)
    for made in cluster.finished(tasks):
        done += made
        report(Progress("generate", done, config.count, "images"))


def write_batches(
    config: GenerateConfig,
    destination: Path,
    model: Path,
    identity: ModelIdentity,
    batches: Sequence[Sequence[int]],
    near: Any = None,
) -> int:
    """Task of a worker: write pictures, given by their indices; those of a batch are all that are due of it.

    Args:
        near: latents of the picture that all are like, see `generate_sheets.find_latents`; None without one.

    Returns:
        Their number.
    """
    trained = _kept_model(model, identity, (model / MODEL_CARD).read_bytes())
    made = []
    for due in batches:
        first = due[0] - due[0] % BATCH
        pictures = trained.from_latents(_latents(config, trained, range(first, first + BATCH), near))
        pixels = pictures.permute(0, 2, 3, 1).cpu().numpy()
        made += [(index, pixels[index - first]) for index in due]
    # one kind of work after another: caches are warm
    files = [
        (index, png.encode_quickly(shown, xmp_packet(_provenance(config, identity, index)))) for index, shown in made
    ]
    for index, data in files:
        write(destination / file_name(index, config.poses), data)
    return len(files)


@lru_cache(maxsize=1)
def _kept_model(model: Path, identity: ModelIdentity, card: bytes) -> Any:
    """The model, loaded once for all tasks of a worker: loading takes a tenth of the time of a task at 64 px."""
    return generate_sheets.load(model)


def _latents(config: GenerateConfig, trained: Any, indices: range, near: Any) -> Any:
    """What the pictures with these indices are made of."""
    import torch

    from atelier.models.characters import character_latents
    from atelier.models.likeness import latents_around

    given = config.truncation, dict(config.codes)
    if near is not None:
        return latents_around(trained, torch.from_numpy(near.copy()), config.seed, indices, *given)
    if config.poses > 1:
        return character_latents(trained, config.seed, [divmod(index, config.poses) for index in indices], *given)
    return trained.latents(trained.noise(config.seed, indices, *given), config.truncation)


def _remote(work: Callable[..., Any]) -> Any:
    """A function as a Ray task with one CPU."""
    import ray

    return ray.remote(work).options(num_cpus=1)
