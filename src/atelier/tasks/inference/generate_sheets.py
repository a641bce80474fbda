"""Sheets of generated pictures: all of them, ways from one to another, and the values of codes."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from atelier.tasks.images.codec import Pixels, center_square, decode, encode
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.inference.config import GenerateConfig

MAX_STRIPS = 8
TRAVERSED, VALUES = 3, 10  # pictures that are shown with the values of each code, and values of a continuous one
CELL_PX = 128  # side of a picture, at most


def load(model: Path) -> Any:
    """The model, on one thread: the number of threads changes the last bits of sums."""
    import torch

    from atelier.models import artifact

    torch.set_num_threads(1)
    return artifact.load(model)


def interpolations(config: GenerateConfig, model: Path, xmp: bytes) -> bytes:
    """A PNG of interpolations, each row from one picture to the next."""
    from atelier.models.random_draws import between

    trained = load(model)
    firsts = range(0, config.count - 1, 2)[:MAX_STRIPS]
    rows = []
    for first in firsts:
        ends = trained.noise(config.seed, (first, first + 1), config.truncation, dict(config.codes))
        rows.append(_cells(trained.from_noise(between(ends[0], ends[1], config.interpolate))))
    return _png(rows, [f"{first} to {first + 1}" for first in firsts], xmp)


def traversals(config: GenerateConfig, model: Path, xmp: bytes) -> bytes:
    """A PNG of the first pictures, each with the values of one code in a row."""
    from atelier.models import random_draws

    trained = load(model)
    bases = trained.noise(config.seed, range(TRAVERSED), config.truncation, dict(config.codes))
    by_code = list(zip(*(random_draws.traversals(base, trained.config.codes, VALUES) for base in bases), strict=True))
    rows = [_cells(trained.from_noise(noise)) for of_code in by_code for noise in of_code]
    return _png(rows, [f"code {code}" for code in range(len(by_code)) for _ in bases], xmp)


def reconstructions(config: GenerateConfig, model: Path, xmp: bytes) -> bytes:
    """A PNG of the middle squares of given pictures, and below each what the model makes of it."""
    import torch

    trained = load(model)
    squares = [center_square(decode(path.read_bytes()), trained.config.size_px) for path in config.reconstruct]
    given = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
    rows = [_cells(x) for part in torch.split(given, VALUES) for x in (part, trained.reconstruct(part))]
    return _png(rows, ["picture", "reconstructed"] * (len(rows) // 2), xmp)


def grid(pictures: Sequence[Pixels], xmp: bytes) -> bytes:
    """A PNG of pictures, nearly square."""
    columns = math.ceil(math.sqrt(len(pictures)))
    return _png([pictures[start : start + columns] for start in range(0, len(pictures), columns)], (), xmp)


def _cells(pictures: Any) -> list[Pixels]:
    """Pictures (B, 3, H, W), apart."""
    return list(pictures.permute(0, 2, 3, 1).cpu().numpy())


def _png(rows: Sequence[Sequence[Pixels]], labels: Sequence[str], xmp: bytes) -> bytes:
    return encode(contact_sheet(rows, labels, cell_px=min(CELL_PX, rows[0][0].shape[0])), "png", xmp=xmp)
