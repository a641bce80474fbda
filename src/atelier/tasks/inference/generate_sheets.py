"""A worker's part of generation: the model, the latents of a given picture, and sheets of generated pictures.

Sheets show all of them, ways from one to another, mixed styles, and the values of codes.
"""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from atelier.models.configs.stylegan import COARSE, FINE, MIDDLE
from atelier.tasks.images.codec import Pixels, center_square, encode
from atelier.tasks.images.codec import load as load_picture
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.inference.config import GenerateConfig

MAX_STRIPS = 8
TRAVERSED, VALUES = 3, 10  # pictures that are shown with the values of each code, and values of a continuous one
CELL_PX = 128  # side of a picture, at most
MAX_STOPS = 16  # pictures that a film goes through
FRAME_MS = 40
COMPARED_IN = "efficientnet_lite0"  # encoder by which latents of a picture are found; it comes with the packages
LAYERS_OF = {"coarse": COARSE, "middle": MIDDLE, "fine": FINE}


def load(model: Path) -> Any:
    """The model, on one thread: the number of threads changes the last bits of sums."""
    import torch

    from atelier.models import artifact

    torch.set_num_threads(1)
    return artifact.load(model)


def find_latents(model: Path, picture: Path, weights: Path) -> Any:
    """The latents (…, D) of a picture's middle square in a model, as a NumPy array that other workers get.

    Args:
        weights: of `COMPARED_IN`.
    """
    import torch

    from atelier.models import encoders
    from atelier.models.likeness import latents_of

    trained = load(model)
    square = center_square(load_picture(picture), trained.config.size_px)
    pictures = torch.from_numpy(square.copy()).permute(2, 0, 1)[None]
    return latents_of(trained, pictures, encoders.load(COMPARED_IN, weights))[0].numpy()


def interpolations(config: GenerateConfig, model: Path, xmp: bytes) -> bytes:
    """A PNG of interpolations, each row from one picture to the next."""
    from atelier.models.random_draws import between

    trained = load(model)
    firsts = range(0, config.count - 1, 2)[:MAX_STRIPS]
    rows = []
    for first in firsts:
        ends = trained.noise(config.seed, (first, first + 1), config.truncation, dict(config.codes))
        way = between(ends[0], ends[1], config.interpolate)
        rows.append(_cells(trained.from_noise(way, config.truncation)))
    return _png(rows, [f"{first} to {first + 1}" for first in firsts], xmp)


def film(config: GenerateConfig, model: Path, xmp: bytes) -> bytes:
    """An animated WebP that goes from each picture to the next and from the last to the first, without an end."""
    from atelier.models.random_draws import between

    trained = load(model)
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


def mixing(config: GenerateConfig, model: Path, xmp: bytes) -> bytes:
    """A PNG: on the left pictures, above others, and between them the former with layers' styles of the latter."""
    import torch

    trained = load(model)
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


def traversals(config: GenerateConfig, model: Path, xmp: bytes) -> bytes:
    """A PNG of the first pictures, each with the values of one code in a row."""
    from atelier.models import random_draws

    trained = load(model)
    bases = trained.noise(config.seed, range(TRAVERSED), config.truncation, dict(config.codes))
    by_code = list(zip(*(random_draws.traversals(base, trained.config.codes, VALUES) for base in bases), strict=True))
    rows = [_cells(trained.from_noise(noise, config.truncation)) for of_code in by_code for noise in of_code]
    return _png(rows, [f"code {code}" for code in range(len(by_code)) for _ in bases], xmp)


def reconstructions(config: GenerateConfig, model: Path, xmp: bytes) -> bytes:
    """A PNG of the middle squares of given pictures, and below each what the model makes of it."""
    import torch

    trained = load(model)
    squares = [center_square(load_picture(path), trained.config.size_px) for path in config.reconstruct]
    given = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
    rows = [_cells(x) for part in torch.split(given, VALUES) for x in (part, trained.reconstruct(part))]
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
