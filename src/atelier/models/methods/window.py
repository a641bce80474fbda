"""The part of the pictures that losses see through a network of strides."""

import numpy as np
from torch import Tensor, nn

from atelier.models.networks.projected import Projected

SHIFT = 16  # px: the longest stride of an encoder's style features, and twice that of a discriminator's pixels


def window(step: int, height: int, width: int) -> tuple[slice, ...]:
    """The part of the pictures (B, C, H, W) that the losses see at this step: all but up to `SHIFT` px at each side.

    Encoder and discriminator stride over the picture, so their gradients repeat with that period; where it begins moves
    with every step, else the generator learns it as a grid. Small pictures are seen whole.
    """
    slices = [slice(None), slice(None)]
    for size, offset in zip(
        (height, width), np.random.default_rng(step).integers(0, SHIFT, 2, endpoint=True).tolist(), strict=True
    ):
        slices.append(slice(offset, offset + size - SHIFT) if size >= 4 * SHIFT else slice(None))
    return tuple(slices)


def shown(discriminator: nn.Module, pictures: Tensor, step: int) -> Tensor:
    """What a discriminator is shown of pictures (B, C, H, W): a projected one the `window` of the step, others all."""
    return pictures[window(step, *pictures.shape[2:])] if isinstance(discriminator, Projected) else pictures
