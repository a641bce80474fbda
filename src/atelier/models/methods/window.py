"""Moving crops: the region of an image that a loss with a strided network is computed on."""

import numpy as np
from torch import Tensor, nn

from atelier.models.networks.projected import Projected

SHIFT = 16  # px: the longest stride of an encoder's style features, and twice that of a discriminator's pixels


def window(step: int, height: int, width: int) -> tuple[slice, ...]:
    """The crop (as slices of (B, C, H, W)) of a step: the image without up to `SHIFT` px at each side.

    Gradients of a strided network repeat with its stride. The origin of the crop moves with every step, because the
    generator would learn a grid otherwise. Small images are not cropped.
    """
    slices = [slice(None), slice(None)]
    for size, offset in zip(
        (height, width), np.random.default_rng(step).integers(0, SHIFT, 2, endpoint=True).tolist(), strict=True
    ):
        slices.append(slice(offset, offset + size - SHIFT) if size >= 4 * SHIFT else slice(None))
    return tuple(slices)


def discriminator_view(discriminator: nn.Module, pictures: Tensor, step: int) -> Tensor:
    """The input (B, C, H, W) of a discriminator: cropped to the `window` of the step for a projected one."""
    return pictures[window(step, *pictures.shape[2:])] if isinstance(discriminator, Projected) else pictures
