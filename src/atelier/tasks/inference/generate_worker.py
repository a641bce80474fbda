"""A worker's part of generation: the latents of a given picture, pictures, and sheets of pictures.

Sheets show all of them, ways from one to another, mixed styles, and the values of codes.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from atelier.models.card import MODEL_CARD, ModelIdentity
from atelier.models.configs.stylegan import COARSE, FINE, MIDDLE
from atelier.tasks.images import png
from atelier.tasks.images.codec import Pixels, encode
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.images.provenance import Provenance, xmp_packet
from atelier.tasks.inference.config import GenerateConfig
from atelier.tasks.runtime.files import write
from atelier.tasks.runtime.process_watch import ProcessWatch

SILENCE_S = 120.0  # after which a worker that is stopped is killed
BATCH = 8  # pictures of a forward pass
MAX_STRIPS = 8
TRAVERSED, VALUES = 3, 10  # pictures that are shown with the values of each code, and values of a continuous one
CELL_PX = 128  # side of a picture, at most
MAX_STOPS = 16  # pictures that a film goes through
FRAME_MS = 40
COMPARED_IN = "efficientnet_lite0"  # encoder by which latents of a picture are found; it comes with the packages
LAYERS_OF = {"coarse": COARSE, "middle": MIDDLE, "fine": FINE}


@dataclass(frozen=True)
class GivenPicture:
    """A picture that a user gives, as the model sees it."""

    sha256: str  # of its file
    square: Pixels  # its middle (S, S, 3), at the model's size


@dataclass(frozen=True)
class GenerateRequest:
    """What is asked for, checked; with all that a worker needs but the model."""

    config: GenerateConfig
    model: Path  # the model folder
    identity: ModelIdentity
    codes: tuple[int, ...]  # that the model has, see `MethodConfig.codes`
    like: GivenPicture | None  # the picture of `config.like`
    reconstruct: tuple[GivenPicture, ...]  # those of `config.reconstruct`

    def provenance(self, given: Mapping[str, Any]) -> Provenance:
        """Provenance of a file: the parameters of all pictures, and those given that are its own."""
        config = self.config
        parameters: dict[str, Any] = {"seed": config.seed}
        if config.truncation is not None:
            parameters["truncation"] = config.truncation
        if config.codes:
            parameters["codes"] = {str(code): value for code, value in sorted(config.codes)}
        if config.poses > 1:
            parameters["poses"] = config.poses
        if self.like:
            parameters["like"] = self.like.sha256
        return Provenance(self.identity, {**parameters, **given}, "")

    @property
    def trained(self) -> Any:
        """The model, loaded once for all tasks of a worker."""
        return _loaded(self.model, self.identity, (self.model / MODEL_CARD).read_bytes())


@lru_cache(maxsize=1)
def _loaded(model: Path, identity: ModelIdentity, card: bytes) -> Any:
    """A model, on one thread: the number of threads changes the last bits of sums.

    Loading takes a tenth of the time of a task at 64 px.
    """
    _watch()  # before PyTorch, which takes seconds to load
    import torch

    from atelier.models import artifact

    torch.set_num_threads(1)
    return artifact.load(model)


@lru_cache(maxsize=1)
def _watch() -> ProcessWatch:
    """The watch of this worker. Ray starts the task of one that was killed again, in another."""
    return ProcessWatch(SILENCE_S)


def file_name(index: int, poses: int = 1) -> str:
    """Name of a picture's file; of a character's the number of the character, and of its pose."""
    return f"{index:06}.png" if poses == 1 else f"{index // poses:06}-{index % poses:02}.png"


def find_latents(request: GenerateRequest, weights: Path) -> Any:
    """The latents (…, D) of the picture that all are like, as a NumPy array that other workers get.

    Args:
        weights: of `COMPARED_IN`.
    """
    import torch

    from atelier.models import encoders
    from atelier.models.likeness import latents_of

    assert request.like
    pictures = torch.from_numpy(request.like.square.copy()).permute(2, 0, 1)[None]
    return latents_of(request.trained, pictures, encoders.load(COMPARED_IN, weights))[0].numpy()


def write_batches(
    request: GenerateRequest, destination: Path, batches: Sequence[Sequence[int]], near: Any = None
) -> int:
    """Write pictures, given by their indices; those of a batch are all that are due of it.

    Args:
        near: latents of the picture that all are like, see `find_latents`; None without one.

    Returns:
        Their number.
    """
    made = []
    for due in batches:
        first = due[0] - due[0] % BATCH
        pictures = request.trained.from_latents(_latents(request, range(first, first + BATCH), near))
        pixels = pictures.permute(0, 2, 3, 1).cpu().numpy()
        made += [(index, pixels[index - first]) for index in due]
    # one kind of work after another: caches are warm
    files = [
        (index, png.encode_quickly(shown, xmp_packet(request.provenance({"index": index})))) for index, shown in made
    ]
    for index, data in files:
        write(destination / file_name(index, request.config.poses), data)
    return len(files)


def _latents(request: GenerateRequest, indices: range, near: Any) -> Any:
    """What the pictures with these indices are made of."""
    import torch

    from atelier.models.characters import character_latents
    from atelier.models.likeness import latents_around

    config, trained = request.config, request.trained
    given = config.truncation, dict(config.codes)
    if near is not None:
        return latents_around(trained, torch.from_numpy(near.copy()), config.seed, indices, *given)
    if config.poses > 1:
        return character_latents(trained, config.seed, [divmod(index, config.poses) for index in indices], *given)
    return trained.latents(trained.noise(config.seed, indices, *given), config.truncation)


def interpolations(request: GenerateRequest, xmp: bytes) -> bytes:
    """A PNG of interpolations, each row from one picture to the next."""
    from atelier.models.random_draws import between

    config, trained = request.config, request.trained
    firsts = range(0, config.count - 1, 2)[:MAX_STRIPS]
    rows = []
    for first in firsts:
        ends = trained.noise(config.seed, (first, first + 1), config.truncation, dict(config.codes))
        way = between(ends[0], ends[1], config.interpolate)
        rows.append(_cells(trained.from_noise(way, config.truncation)))
    return _png(rows, [f"{first} to {first + 1}" for first in firsts], xmp)


def film(request: GenerateRequest, xmp: bytes) -> bytes:
    """An animated WebP that goes from each picture to the next and from the last to the first, without an end."""
    from atelier.models.random_draws import between

    config, trained = request.config, request.trained
    stops = trained.noise(config.seed, range(min(config.count, MAX_STOPS)), config.truncation, dict(config.codes))
    frames: list[Image.Image] = []
    for first, last in zip(stops, stops.roll(-1, 0), strict=True):
        way = between(first, last, config.interpolate + 1)[:-1]
        pictures = trained.from_noise(way, config.truncation).permute(0, 2, 3, 1).cpu().numpy()
        frames += [Image.fromarray(picture) for picture in pictures]
    file = io.BytesIO()
    frames[0].save(
        file, "webp", save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0, quality=90, xmp=xmp
    )
    return file.getvalue()


def mixing(request: GenerateRequest, xmp: bytes) -> bytes:
    """A PNG: on the left pictures, above others, and between them the former with layers' styles of the latter."""
    import torch

    config, trained = request.config, request.trained
    noise = trained.noise(config.seed, range(2 * config.mix), config.truncation, dict(config.codes))
    above, left = trained.latents(noise, config.truncation).split(config.mix)  # (mix, layers, latent) each
    rows: list[list[Pixels | None]] = [[None, *_cells(trained.from_latents(above))]]
    labels = [""]
    for name, layers in LAYERS_OF.items():
        if not above[0, layers].numel():
            continue
        for index, latents in enumerate(left):
            mixed = latents.repeat(config.mix, 1, 1)
            mixed[:, layers] = above[:, layers]
            rows.append(_cells(trained.from_latents(torch.cat([latents[None], mixed]))))
            labels.append(f"{config.mix + index}, {name}")
    columns = ("", *map(str, range(config.mix)))
    return _png(rows, labels, xmp, columns)


def traversals(request: GenerateRequest, xmp: bytes) -> bytes:
    """A PNG of the first pictures, each with the values of one code in a row."""
    from atelier.models import random_draws

    config, trained = request.config, request.trained
    bases = trained.noise(config.seed, range(TRAVERSED), config.truncation, dict(config.codes))
    by_code = list(zip(*(random_draws.traversals(base, trained.config.codes, VALUES) for base in bases), strict=True))
    rows = [_cells(trained.from_noise(noise, config.truncation)) for of_code in by_code for noise in of_code]
    return _png(rows, [f"code {code}" for code in range(len(by_code)) for _ in bases], xmp)


def reconstructions(request: GenerateRequest, xmp: bytes) -> bytes:
    """A PNG of the middle squares of given pictures, and below each what the model makes of it."""
    import torch

    given = torch.from_numpy(np.stack([one.square for one in request.reconstruct])).permute(0, 3, 1, 2)
    rows = [_cells(x) for part in torch.split(given, VALUES) for x in (part, request.trained.reconstruct(part))]
    return _png(rows, ["picture", "reconstructed"] * (len(rows) // 2), xmp)


def grid(pictures: Sequence[Pixels], poses: int, xmp: bytes) -> bytes:
    """A PNG of pictures, nearly square; or with a row for each character."""
    columns = poses if poses > 1 else math.ceil(math.sqrt(len(pictures)))
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    return _png(rows, [str(number) for number in range(len(rows))] if poses > 1 else (), xmp)


def _cells(pictures: Any) -> list[Pixels | None]:
    """Pictures (B, 3, H, W), apart."""
    return list(pictures.permute(0, 2, 3, 1).cpu().numpy())


def _png(
    rows: Sequence[Sequence[Pixels | None]], labels: Sequence[str], xmp: bytes, columns: Sequence[str] = ()
) -> bytes:
    side = min(CELL_PX, *(cell.shape[0] for row in rows for cell in row if cell is not None))
    return encode(contact_sheet(rows, labels, columns, side), "png", xmp=xmp)
