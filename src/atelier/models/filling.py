"""Painting of holes in pictures of any size, and around what is put there: nothing but their pixels changes.

A network continues what is near. What it cannot see across is first filled at half of the size, or a quarter and so on,
and that is what it paints over at the next size: coarse to fine. It sees a tile of the picture at a time, where there
is a hole, so that a large picture takes no more memory than its pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models.boxes import Box
from atelier.models.compositing import composite
from atelier.models.holes import NUMBERS, drawn_holes
from atelier.models.insertion import Insertion
from atelier.models.networks.inpainter import MULTIPLE, Inpainter, smooth
from atelier.models.pixels import as_given, finite, pad, to_float
from atelier.models.random_draws import uniform

TILE_PX, AROUND_PX = 512, 96  # sides of what is painted at once, and what the network sees around
WIDEST_PX = 64  # a hole that holds a square of this side is filled at half the size first


@dataclass(frozen=True, eq=False)
class FillingPainter:
    """A painter that fills holes, and puts an object into pictures.

    Without any of the two it fills drawn holes, always the same, to show what the network can.
    """

    network: Inpainter
    boxes: tuple[Box, ...] = ()  # that are filled in every picture
    labelled: bool = False  # whether it needs labels
    insertion: Insertion | None = None  # what is put into every picture then

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Fill pictures (B, 3, H, W), see `Painter`, in the boxes and where labels (B, H, W) are not 0.

        Raises:
            ValueError: a box or the object is outside of the pictures, or the object larger than they are; or there are
                no labels, and they are needed.
        """
        height, width = images.shape[2:]
        if labels is None and self.labelled:
            raise ValueError("what is filled is shown by label pictures, or found: the picture has no labels")
        if labels is None and not self.boxes and not self.insertion:
            holes = drawn_holes(uniform(0, 0, 0, len(images), NUMBERS, 0), height, width)
        else:
            holes = torch.zeros(len(images), 1, height, width) if labels is None else (labels > 0).float()[:, None]
            for box in self.boxes:
                holes[..., *box.place(height, width)] = 1
        filled = images.clone()
        with torch.inference_mode():
            for image, hole in zip(torch.split(filled, 1), torch.split(holes.to(images.device), 1), strict=True):
                if hole.any():
                    fill(self.network, image, hole)
                if self.insertion:
                    insert(self.network, image, self.insertion)
        return filled


def fill(network: Inpainter, image: Tensor, hole: Tensor) -> None:
    """Fill the hole (1, 1, H, W) of an image (1, 3, H, W) in place; see `Painter` for its type."""
    rows, columns = (_bounds(hole[0, 0].amax(axis) > 0) for axis in (1, 0))
    wide = _is_wide(hole)
    around = max(AROUND_PX, rows.stop - rows.start, columns.stop - columns.start) if wide else AROUND_PX
    top, left = (max(0, bounds.start - around) for bounds in (rows, columns))
    window = (..., slice(top, rows.stop + around), slice(left, columns.stop + around))
    image, hole = image[window], hole[window]
    coarse = None
    if wide:
        coarse, half_hole = _halved(image, hole)
        fill(network, coarse, half_hole)
    given, place = image.clone(), hole > 0
    for top in range(0, image.shape[2], TILE_PX):
        for left in range(0, image.shape[3], TILE_PX):
            own = (..., slice(top, top + TILE_PX), slice(left, left + TILE_PX))
            if place[own].any():
                painted = _tile(network, given, hole, coarse, top, left)
                image[own] = torch.where(place[own], as_given(painted, image), image[own])


def insert(network: Inpainter, image: Tensor, insertion: Insertion) -> None:
    """Put an object into an image (1, 3, H, W) in place, and fill its seam; see `Painter` for its type.

    Raises:
        ValueError: as `composite`.
    """
    made = composite(image, insertion)
    if made.seam.any():
        fill(network, made.pixels, made.seam)
    part = image[made.window]
    part.copy_(torch.where(made.changed, as_given(made.pixels, image), part))


def _tile(network: Inpainter, image: Tensor, hole: Tensor, coarse: Tensor | None, top: int, left: int) -> Tensor:
    """What is painted (1, 3, h, w) of the tile that begins at row `top` and column `left`."""
    first_row, first_column = max(0, top - AROUND_PX), max(0, left - AROUND_PX)
    wide = (..., slice(first_row, top + TILE_PX + AROUND_PX), slice(first_column, left + TILE_PX + AROUND_PX))
    device = next(network.parameters()).device
    x, place = to_float(image[wide], device), hole[wide].to(device)
    base = smooth(x, place) if coarse is None else torch.where(place > 0, _doubled(coarse, wide, x), x)
    height, width = x.shape[2:]
    padded, where = (pad(y, MULTIPLE, MULTIPLE) for y in (base, place))
    painted = finite(network.painted(padded, where))[:, :, :height, :width]
    return painted[:, :, top - first_row :, left - first_column :][:, :, :TILE_PX, :TILE_PX]


def _halved(image: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """Image and hole at half the size: means of what is known; a hole is where nothing of four pixels is."""
    known = 1 - hole
    x = to_float(image, image.device)
    share = F.avg_pool2d(known, 2, ceil_mode=True)
    mean = F.avg_pool2d(x * known, 2, ceil_mode=True) / share.clamp(min=1e-6)
    return as_given(mean, image), (share == 0).float()


def _doubled(coarse: Tensor, wide: tuple[object, slice, slice], like: Tensor) -> Tensor:
    """The part of what was filled at half the size that shows this part of the picture, at its size."""
    _, rows, columns = wide
    part = coarse[:, :, rows.start // 2 : (rows.start + like.shape[2] + 1) // 2]
    part = part[:, :, :, columns.start // 2 : (columns.start + like.shape[3] + 1) // 2]
    large = F.interpolate(to_float(part, like.device), scale_factor=2, mode="bicubic", align_corners=False)
    return large[:, :, : like.shape[2], : like.shape[3]].clamp(-1, 1)


def _bounds(used: Tensor) -> slice:
    """From the first to the last true value (N); there is one."""
    places = used.nonzero()[:, 0]
    return slice(int(places[0]), int(places[-1]) + 1)


def _is_wide(hole: Tensor) -> bool:
    """Whether a hole (1, 1, H, W) holds a square of `WIDEST_PX`, of those at a quarter of that from each other."""
    if min(hole.shape[2:]) < WIDEST_PX:
        return False
    return bool((F.avg_pool2d(hole, WIDEST_PX, WIDEST_PX // 4) == 1).any())
