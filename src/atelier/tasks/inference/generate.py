"""Generate: pictures from noise, by a model that learned to make them.

A picture is a function of the model, the seed, its index and the truncation: neither of how many there are, nor of how
often the command was interrupted. So that this holds bit by bit, pictures go through the network in batches of one
size, each at its own place of its batch.
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

BATCH = 8  # pictures that go through the network together
TASK_BATCHES = 8  # batches in one task of a worker
GRID, STRIPS = "grid.png", "interpolation.png"
MOST_SHOWN = 144  # pictures on the grid
MOST_STRIPS = 8
CELL_PX = 128  # of a picture on the grid, at most


@dataclass(frozen=True)
class GenerateConfig:
    """What is generated.

    Raises:
        ValueError: a value makes no sense.
    """

    count: int = 64  # pictures
    seed: int = 0  # which sequence of pictures
    truncation: float | None = None  # numbers of the noise are drawn within ± this; None draws all there are
    interpolate: int = 0  # pictures of a strip from one picture to the next; 0 makes none

    def __post_init__(self) -> None:
        """Refuse what cannot be made."""
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
    """What was generated."""

    count: int  # pictures there are now
    made: int  # of them by this run
    seconds: float  # of this run, with its start
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
    """Write `000000.png`, …, a contact sheet of them and interpolations; what is there already is kept.

    Args:
        config: what to generate.
        destination: folder, made if needed.
        model: the model folder, readable on every node.
        identity: which model this is.
        report: told of finished pictures.
        connect: connects to Ray; called only when there is something to do.

    Raises:
        ValueError: the model paints, is damaged, or the destination holds other pictures of these names.
        NotADirectoryError: the destination is a file.
    """
    started = time.monotonic()
    check_generates(identity)
    destination, model = destination.absolute(), model.absolute()
    if destination.exists() and not destination.is_dir():
        raise NotADirectoryError(f"{destination} is a file: choose a folder")
    missing = [
        i for i in range(config.count) if not _is_there(destination / file_name(i), _lineage(config, identity, i))
    ]
    shown = range(min(config.count, MOST_SHOWN))
    sheet = Provenance(identity, _said(config) | {"pictures": len(shown)}, "")
    strips = Provenance(identity, _said(config) | {"pictures": config.count, "interpolate": config.interpolate}, "")
    strips_due = config.interpolate > 0 and not _is_there(destination / STRIPS, strips, ours=True)
    report(Progress("generate", config.count - len(missing), config.count, "images"))
    if missing or strips_due:
        destination.mkdir(parents=True, exist_ok=True)
        with connected_keeping_sigterm(connect):
            _run(config, destination, model, identity, missing, report)
            if strips_due:
                write(
                    destination / STRIPS, cluster.get_result(_task(_strips).remote(config, model, xmp_packet(strips)))
                )
    if missing or not _is_there(destination / GRID, sheet, ours=True):
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
    """Refuse a model that does not generate.

    Raises:
        ValueError: says what to use instead.
    """
    if not config_class(identity.method).generates:
        raise ValueError(
            f"{identity.label} was trained by {identity.method}, which paints pictures and makes none from noise: "
            "use `atelier stylize`"
        )


def file_name(index: int) -> str:
    """Of a picture's file."""
    return f"{index:06}.png"


def _said(config: GenerateConfig) -> dict[str, Any]:
    """What all pictures of a job depend on, beside the model."""
    return {"seed": config.seed, **({} if config.truncation is None else {"truncation": config.truncation})}


def _lineage(config: GenerateConfig, identity: ModelIdentity, index: int) -> Provenance:
    return Provenance(identity, _said(config) | {"index": index}, "")


def _is_there(path: Path, wanted: Provenance, *, ours: bool = False) -> bool:
    """Whether a file is the wanted picture.

    Args:
        path: of the file.
        wanted: what it says of itself.
        ours: it may be replaced where it is another one of ours: a sheet follows the pictures.

    Raises:
        ValueError: it is something else, which is not overwritten.
    """
    try:
        found = read(path.read_bytes())
    except FileNotFoundError:
        return False
    except BadImage:
        found = None
    if found is not None and (found.model, found.parameters) == (wanted.model, wanted.parameters):
        return True
    if found is not None and ours:
        return False
    raise ValueError(f"{path} is another picture than the one to be made: choose another destination")


def _run(
    config: GenerateConfig,
    destination: Path,
    model: Path,
    identity: ModelIdentity,
    missing: Sequence[int],
    report: Report,
) -> None:
    """Make what is missing, task by task."""
    batches = sorted({index // BATCH for index in missing})
    wanted = set(missing)
    tasks = []
    for start in range(0, len(batches), TASK_BATCHES):
        lineages = [
            {index: _lineage(config, identity, index) for index in _of(batch) if index in wanted}
            for batch in batches[start : start + TASK_BATCHES]
        ]
        tasks.append(_task(_make).remote(config, destination, model, lineages))
    done = config.count - len(missing)
    for made in cluster.finished(tasks):
        done += made
        report(Progress("generate", done, config.count, "images"))


def _of(batch: int) -> range:
    """The indices of the pictures of a batch."""
    return range(batch * BATCH, (batch + 1) * BATCH)


def _make(config: GenerateConfig, destination: Path, model: Path, batches: list[dict[int, Provenance]]) -> int:
    """A worker's part: write pictures, each complete or not at all; returns their number."""
    trained = _loaded(model)
    for lineages in batches:
        whole = _of(next(iter(lineages)) // BATCH)
        pictures = trained.generate(config.seed, whole, config.truncation).permute(0, 2, 3, 1).cpu().numpy()
        for index, lineage in lineages.items():
            data = encode(pictures[index - whole.start].copy(), "png", xmp=xmp_packet(lineage))
            write(destination / file_name(index), data)
    return sum(len(lineages) for lineages in batches)


def _strips(config: GenerateConfig, model: Path, xmp: bytes) -> bytes:
    """A worker's part: a PNG, each row the way from one picture to the next."""
    from atelier.models.random_draws import between, noise

    trained = _loaded(model)
    firsts = range(0, config.count - 1, 2)[:MOST_STRIPS]
    rows: list[list[Pixels]] = []
    for first in firsts:
        ends = noise(config.seed, (first, first + 1), trained.config.noise, config.truncation)
        row = trained.from_noise(between(ends[0], ends[1], config.interpolate))
        rows.append(list(row.permute(0, 2, 3, 1).cpu().numpy()))
    labels = [f"{first} to {first + 1}" for first in firsts]
    return encode(contact_sheet(rows, labels, cell_px=_cell(rows[0][0])), "png", xmp=xmp)


def _loaded(model: Path) -> Any:
    """The model, on one thread: the last bits of a sum depend on how many share it."""
    import torch

    from atelier.models import artifact

    torch.set_num_threads(1)
    return artifact.load(model)


def _task(work: Callable[..., Any]) -> Any:
    """A function as a task for one CPU of the cluster."""
    import ray

    return ray.remote(work).options(num_cpus=1)


def _grid(pictures: Sequence[Pixels]) -> Pixels:
    """A contact sheet, about square."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    return contact_sheet(rows, cell_px=_cell(pictures[0]))


def _cell(picture: Pixels) -> int:
    return min(CELL_PX, int(picture.shape[0]))
