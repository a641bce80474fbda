"""Putting an object into a picture, so that its outline looks like one of the picture's.

What was behind the object in its own picture does not come along: near the outline its colours are continued from
inside. Its light is matched to that of its surroundings, as much as light differs, and not as things do. Its edge takes
on a little of what is beside it, by Poisson's equation. Whole cloning takes on all of it, and gives up its colours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import EllipsisType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models.insertion import Insertion
from atelier.models.networks.inpainter import smooth
from atelier.models.pixels import to_float
from atelier.models.placement import box_mean

Place = tuple[EllipsisType, slice, slice]  # rows and columns

SEAM_PX = 1  # on each side of the outline, that is returned to be filled
TILE_PX, AROUND_PX = 512, 96  # sides of what is composited at once, and of what is looked at around
LEAST_ALPHA = 1 / 512  # below it nothing is seen
OUTLINE = 0.5  # its alpha
NORM = 6  # of the means that estimate light
MATCHED = 0.5  # share of the difference of two lights that is taken away, in their logarithms
GAINS, TINTS = (0.85, 1.1), (0.97, 1.03)  # bounds on the change of brightness, and of each colour beside that
SAMPLES = 256  # pixels of a side that light is estimated from, or twice as many
NEAR_PX = 3  # half the sides of the squares whose means are the colours beside the outline, and inside it
MOST = 0.075  # largest correction at the outline, of values in [0, 1]
DEPTH_PX = 6  # how far inside a third of it is left


@dataclass(frozen=True)
class Composite:
    """The part of a picture that has an object now."""

    window: Place  # where it is in the picture
    pixels: Tensor  # (1, 3, h, w) float32 in [-1, 1]
    changed: Tensor  # (1, 1, h, w) bool: the object and the seam
    seam: Tensor  # (1, 1, h, w) float32: 1 on the outline, where a network is to fill what lies between the two


def composite(image: Tensor, insertion: Insertion) -> Composite:
    """Put an object over an image (1, 3, H, W), which stays as it is; see `Painter` for its type.

    Raises:
        ValueError: nothing of the object would be seen, or it has more pixels than the image.
    """
    height, width = image.shape[2:]
    rows, columns = insertion.place(height, width)
    layer = _resized(insertion, rows.stop - rows.start, columns.stop - columns.start, image.device)
    top, left = max(0, rows.start), max(0, columns.start)
    layer = layer[..., top - rows.start : height - rows.start, left - columns.start : width - columns.start]
    if not layer[:, 3:].any():
        raise insertion.outside(height, width)
    layer[:, :3] *= _light(image, layer, top, left)
    first_row, first_column = max(0, top - AROUND_PX), max(0, left - AROUND_PX)
    bottom, right = top + layer.shape[2], left + layer.shape[3]
    window = (..., slice(first_row, bottom + AROUND_PX), slice(first_column, right + AROUND_PX))
    given = to_float(image[window], image.device)
    around = torch.zeros(1, 4, *given.shape[2:], device=image.device)
    around[..., top - first_row : bottom - first_row, left - first_column : right - first_column] = layer
    made, seam = given.clone(), torch.zeros_like(around[:, :1])
    for own, wide, inner in _tiles(*given.shape[2:]):
        if around[wide][:, 3:].any():
            pixels, outline = _composited((given[wide] + 1) / 2, *torch.split(around[wide], [3, 1], 1))
            made[own], seam[own] = 2 * pixels[inner] - 1, outline[inner]
    return Composite(window, made, (around[:, 3:] > 0) | (seam > 0), seam)


def _composited(picture: Tensor, colour: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """A picture with an object over it, both (1, 3, h, w) in [0, 1], and its seam (1, 1, h, w).

    Pérez et al. 2003, "Poisson Image Editing", equation 5: what corrects the object is a membrane over it, that at the
    outline is the difference of the picture and the object. What differs: colours at the outline are means, of what is
    there on either side; corrections are bounded; and the membrane is tied to 0 (Bhat et al. 2008, "Fourier Analysis of
    the 2D Screened Poisson Equation for Gradient Domain Problems"), so that the object keeps its colours.
    """
    inside = (alpha > OUTLINE).float()
    core = _shrunk(inside, SEAM_PX + 1)
    broad = _grown(core, 2 * SEAM_PX + 2) * (1 - core)  # at the outline, but of what is thin, such as hairs
    colour = torch.where(broad > 0, smooth(colour, 1 - core), colour)
    outside = (alpha == 0).float()
    beside, edge = _known_mean(picture, outside), _known_mean(colour, inside)
    known = (box_mean(outside, NEAR_PX) > 0) & (box_mean(inside, NEAR_PX) > 0)
    difference = (beside - edge) * (known & (inside == 0) & (_grown(inside, 1) > 0))
    largest = difference.abs().amax(1, keepdim=True)
    difference = difference * (MOST / largest.clamp(min=MOST))
    correction = smooth(difference, inside * (1 - 1 / (4 * DEPTH_PX**2)))
    made = torch.lerp(picture, (colour + correction).clamp(0, 1), alpha)
    return made, broad * _grown(inside, SEAM_PX) * (1 - _shrunk(inside, SEAM_PX))


def _light(image: Tensor, layer: Tensor, top: int, left: int) -> Tensor:
    """Factors (1, 3, 1, 1) on the colours of an object at a place that bring its light nearer to that around it.

    Light is estimated by Minkowski means: Finlayson & Trezzi 2004, "Shades of Gray and Colour Constancy".
    """
    down, across = layer.shape[2:]
    around = max(down, across) // 2
    step = max(1, 2 * max(down, across) // SAMPLES)
    above, before = (min(around, edge) // step for edge in (top, left))
    rows = slice(top - above * step, top + down + around, step)
    columns = slice(left - before * step, left + across + around, step)
    picture = (to_float(image[..., rows, columns], image.device) + 1) / 2
    colour, alpha = torch.split(layer[..., ::step, ::step], [3, 1], 1)
    outside = torch.ones_like(picture[:, :1])
    outside[..., above : above + alpha.shape[2], before : before + alpha.shape[3]] = (alpha == 0).float()
    if not outside.any():
        return torch.ones(1, 3, 1, 1, device=image.device)
    there, own = (
        ((x**NORM * weight).sum((2, 3), keepdim=True) / weight.sum()) ** (1 / NORM)
        for x, weight in ((picture, outside), (colour, alpha))
    )
    brightness = there.mean()
    gain = (brightness / own.mean().clamp(min=1e-3)) ** MATCHED
    tint = (there / brightness.clamp(min=1e-3)) ** MATCHED
    return gain.clamp(*GAINS) * tint.clamp(*TINTS)


def _resized(insertion: Insertion, height: int, width: int, device: torch.device) -> Tensor:
    """Colours and alpha of an object (1, 4, height, width), in [0, 1]."""
    alpha = insertion.alpha[..., None]
    both = torch.from_numpy(np.concatenate([insertion.pixels, alpha], 2)).to(device).permute(2, 0, 1)[None] / 255
    both[:, :3] *= both[:, 3:]  # so that transparent pixels have no colour
    if both.shape[2:] != (height, width):
        both = F.interpolate(both, (height, width), mode="bicubic", antialias=True)
    share = both[:, 3:].clamp_(0, 1)
    share *= share >= LEAST_ALPHA
    both[:, :3] /= share.clamp(min=LEAST_ALPHA)
    return both.clamp_(0, 1)


def _tiles(height: int, width: int) -> Iterator[tuple[Place, Place, Place]]:
    """Tiles of a picture: the place of each, of what is looked at, and that of the tile in there."""
    for top in range(0, height, TILE_PX):
        for left in range(0, width, TILE_PX):
            first, begun = max(0, top - AROUND_PX), max(0, left - AROUND_PX)
            own = (..., slice(top, top + TILE_PX), slice(left, left + TILE_PX))
            wide = (..., slice(first, top + TILE_PX + AROUND_PX), slice(begun, left + TILE_PX + AROUND_PX))
            inner = (..., slice(top - first, top - first + TILE_PX), slice(left - begun, left - begun + TILE_PX))
            yield own, wide, inner


def _known_mean(x: Tensor, known: Tensor) -> Tensor:
    """Means of what is known near each pixel."""
    return box_mean(x * known, NEAR_PX) / box_mean(known, NEAR_PX).clamp(min=1e-6)


def _grown(mask: Tensor, px: int) -> Tensor:
    return F.max_pool2d(mask, 2 * px + 1, 1, px)


def _shrunk(mask: Tensor, px: int) -> Tensor:
    return 1 - _grown(1 - mask, px)
