"""Styles given at inference, and statistics of the style domain taken in training."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.controls import Style
from atelier.models.distributed import all_reduce_together
from atelier.models.methods.base import Batch
from atelier.models.networks.projected import Projected
from atelier.models.networks.stage_discriminator import StageDiscriminator
from atelier.models.pixels import pad, to_float

TRAINED = Style("trained")  # the style domain of the training, the default style
LONGEST_PX = 512  # longest side of a style image, as in the literature
SMALLEST_PX = 32  # shortest side of an encoder's input; smaller images are padded

UNIT_IMAGES = 64  # images that the feature scales of a projected discriminator are measured on


def shares(styles: Sequence[Style]) -> list[float]:
    """The weights, normalised to a sum of 1."""
    total = sum(style.weight for style in styles)
    return [style.weight / total for style in styles]


def style_pixels(style: Style, device: torch.device) -> Tensor | None:
    """The image of a style, (1, 3, h, w) in [-1, 1]; None for the trained style.

    Raises:
        ValueError: the style is a name that no model knows.
    """
    if style.pixels is None:
        if style.name != TRAINED.name:
            raise ValueError(
                f"style {style.name!r} is no picture file, and the model knows no style of that name: "
                f"it knows {TRAINED.name!r}"
            )
        return None
    x = to_float(torch.from_numpy(style.pixels.copy()).permute(2, 0, 1)[None], device)
    longest = max(x.shape[2:])
    if longest > LONGEST_PX:
        size = [max(1, round(side * LONGEST_PX / longest)) for side in x.shape[2:]]
        x = F.interpolate(x, size=size, mode="bilinear", antialias=True)
    return pad(x, 1, SMALLEST_PX)


def region_of(style: Style, device: torch.device) -> Tensor | None:
    """Where the image has the style, (1, 1, h, w) in [0, 1]; None means everywhere."""
    if style.region is None:
        return None
    return torch.from_numpy(style.region.copy())[None, None].to(device) / 255


@torch.no_grad()
def domain_means(
    measure: Callable[[Tensor], Mapping[str, Tensor]],
    batches: Callable[[int], Batch],
    batch_size: int,
    images: int,
    device: torch.device,
) -> dict[str, Tensor]:
    """Means over about `images` pictures of the style domain, over all ranks.

    Args:
        measure: means over pictures (b, 3, H, W) in [-1, 1], by name.
        batches: this rank's batch of a step.
        images: number of images, rounded up to whole batches.
    """
    means: dict[str, Tensor] = {}
    steps = -(-images // batch_size)
    for step in range(steps):
        style = to_float(batches(step).style, device)
        for name, value in measure(style).items():
            value = value * (len(style) / batch_size / steps)
            means[name] = means[name] + value if name in means else value
    return dict(zip(means, all_reduce_together(list(means.values())), strict=True))


def fit_units(
    discriminators: Iterable[nn.Module], batches: Callable[[int], Batch], batch_size: int, device: torch.device
) -> None:
    """Set the feature scales of projected discriminators from the style domain; others have none.

    Equal scales matter, whatever a discriminator judges: no feature then outweighs the others.
    """
    projected = [one for one in discriminators if isinstance(one, Projected | StageDiscriminator)]
    if projected:
        energies = domain_means(projected[0].energies, batches, batch_size, UNIT_IMAGES, device)
        for one in projected:
            one.learn(energies)
