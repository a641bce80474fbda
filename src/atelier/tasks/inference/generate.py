"""Generation: pictures from noise, by a generative model.

A picture depends on the model, the seed, its index and the truncation only: not on the number of pictures, and not on
interruptions. For equal bits, pictures run through the network in batches of one size, each at a fixed place.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier.models.card import ModelIdentity
from atelier.models.configs import config_class
from atelier.tasks.images.codec import BadImage, Pixels, decode, encode
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.images.provenance import Provenance, read, xmp_packet
from atelier.tasks.runtime import cluster
from atelier.tasks.runtime.cluster import connected_keeping_sigterm
from atelier.tasks.runtime.files import write
from atelier.tasks.runtime.progress import Progress, Report, silent

BATCH = 8  # pictures of a forward pass
TASK_BATCHES = 8  # batches of a Ray task
GRID, STRIPS = "grid.png", "interpolation.png"
MAX_SHOWN = 144  # pictures on the grid
MAX_STRIPS = 8
CELL_PX = 128  # side of a picture on the grid, at most


@dataclass(frozen=True)
class GenerateConfig:
    """Parameters of generation.

    Raises:
        ValueError: a value is out of its range.
    """

    count: int = 64  # number of pictures
    seed: int = 0  # of the noise
    truncation: float | None = None  # noise is drawn within ± this; None draws it untruncated
    interpolate: int = 0  # pictures of a strip from one picture to the next; 0: no strips

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 1 <= self.count <= 1_000_000:
            raise ValueError(f"--count must be between 1 and 1,000,000, not {self.count}")
        if self.seed < 0:
            raise ValueError(f"--seed must not be below 0, it is {self.seed}")
        if self.truncation is not None and not 0 < self.truncation < math.inf:
            raise ValueError(f"--truncation must be above 0, not {self.truncation}")
        if self.interpolate and not 2 <= self.interpolate <= 64:
            raise ValueError(f"--interpolate must be between 2 and 64 pictures, not {self.interpolate}")
        if self.interpolate and self.count < 2:
            raise ValueError("--interpolate goes from one picture to the next: --count must be 2 at least")


@dataclass(frozen=True)
class GenerateSummary:
    """The result of a run."""

    count: int  # pictures in the folder
    made: int  # of these, by this run
    seconds: float  # duration of this run, with its start
    grid: Path
    strips: Path | None  # interpolations
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
    """Write `000000.png`, …, a contact sheet and interpolations. Existing files are kept.

    Args:
        config: parameters.
        destination: folder, created if needed.
        model: the model folder, readable on every node.
        identity: of the model.
        report: receives the progress, in images.
        connect: connects to Ray; called only when there is work.

    Raises:
        ValueError: the model does not generate, is damaged, or the destination holds other files with these names.
        NotADirectoryError: the destination is a file.
    """
    started = time.monotonic()
    check_generates(identity)
    destination, model = destination.absolute(), model.absolute()
    if destination.exists() and not destination.is_dir():
        raise NotADirectoryError(f"{destination} is a file: choose a folder")

    def exists(index: int) -> bool:
        return _exists(destination / file_name(index), _provenance(config, identity, index))

    missing = [index for index in range(config.count) if not exists(index)]
    shown = range(min(config.count, MAX_SHOWN))
    sheet = Provenance(identity, _parameters(config) | {"pictures": len(shown)}, "")
    strips = Provenance(
        identity, _parameters(config) | {"pictures": config.count, "interpolate": config.interpolate}, ""
    )
    strips_due = config.interpolate > 0 and not _exists(destination / STRIPS, strips, replaceable=True)
    report(Progress("generate", config.count - len(missing), config.count, "images"))
    if missing or strips_due:
        destination.mkdir(parents=True, exist_ok=True)
        with connected_keeping_sigterm(connect):
            _generate_missing(config, destination, model, identity, missing, report)
            if strips_due:
                data = cluster.get_result(_remote(_strips).remote(config, model, xmp_packet(strips)))
                write(destination / STRIPS, data)
    if missing or not _exists(destination / GRID, sheet, replaceable=True):
        pictures = [decode((destination / file_name(index)).read_bytes()) for index in shown]
        write(destination / GRID, encode(_grid(pictures), "png", xmp=xmp_packet(sheet)))
    return GenerateSummary(
        count=config.count,
        made=len(missing),
        seconds=round(time.monotonic() - started, 3),
        grid=destination / GRID,
        strips=destination / STRIPS if config.interpolate else None,
        model=identity.name,
        version=identity.version,
    )


def check_generates(identity: ModelIdentity) -> None:
    """Check that a model generates pictures.

    Raises:
        ValueError: it stylizes instead; the message names the command to use.
    """
    if not config_class(identity.method).generates:
        raise ValueError(
            f"{identity.label} was trained by {identity.method}, which paints pictures and makes none from noise: "
            "use `atelier stylize`"
        )


def file_name(index: int) -> str:
    """Name of a picture's file."""
    return f"{index:06}.png"


def _parameters(config: GenerateConfig) -> dict[str, Any]:
    """The parameters in the provenance of every picture."""
    return {"seed": config.seed, **({} if config.truncation is None else {"truncation": config.truncation})}


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
    batches = sorted({index // BATCH for index in missing})
    wanted = set(missing)
    tasks = []
    for start in range(0, len(batches), TASK_BATCHES):
        provenances = [
            {index: _provenance(config, identity, index) for index in _indices(batch) if index in wanted}
            for batch in batches[start : start + TASK_BATCHES]
        ]
        tasks.append(_remote(_write_batches).remote(config, destination, model, provenances))
    done = config.count - len(missing)
    for made in cluster.finished(tasks):
        done += made
        report(Progress("generate", done, config.count, "images"))


def _indices(batch: int) -> range:
    """Indices of the pictures of a batch."""
    return range(batch * BATCH, (batch + 1) * BATCH)


def _write_batches(config: GenerateConfig, destination: Path, model: Path, batches: list[dict[int, Provenance]]) -> int:
    """Task of a worker: write the pictures of some batches; returns their number."""
    trained = _load(model)
    for provenances in batches:
        whole = _indices(next(iter(provenances)) // BATCH)
        pictures = trained.generate(config.seed, whole, config.truncation).permute(0, 2, 3, 1).cpu().numpy()
        for index, provenance in provenances.items():
            data = encode(pictures[index - whole.start].copy(), "png", xmp=xmp_packet(provenance))
            write(destination / file_name(index), data)
    return sum(len(provenances) for provenances in batches)


def _strips(config: GenerateConfig, model: Path, xmp: bytes) -> bytes:
    """Task of a worker: a PNG of interpolations, each row from one picture to the next."""
    from atelier.models.random_draws import between, noise

    trained = _load(model)
    firsts = range(0, config.count - 1, 2)[:MAX_STRIPS]
    rows: list[list[Pixels]] = []
    for first in firsts:
        ends = noise(config.seed, (first, first + 1), trained.config.noise, config.truncation)
        row = trained.from_noise(between(ends[0], ends[1], config.interpolate))
        rows.append(list(row.permute(0, 2, 3, 1).cpu().numpy()))
    labels = [f"{first} to {first + 1}" for first in firsts]
    return encode(contact_sheet(rows, labels, cell_px=_cell(rows[0][0])), "png", xmp=xmp)


def _load(model: Path) -> Any:
    """The model, on one thread: the number of threads changes the last bits of sums."""
    import torch

    from atelier.models import artifact

    torch.set_num_threads(1)
    return artifact.load(model)


def _remote(work: Callable[..., Any]) -> Any:
    """A function as a Ray task with one CPU."""
    import ray

    return ray.remote(work).options(num_cpus=1)


def _grid(pictures: Sequence[Pixels]) -> Pixels:
    """A contact sheet, nearly square."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    return contact_sheet(rows, cell_px=_cell(pictures[0]))


def _cell(picture: Pixels) -> int:
    return min(CELL_PX, int(picture.shape[0]))
