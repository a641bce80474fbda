"""Regions of style pictures as styles, and a picture that shows what is matched to what."""

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from atelier.models import encoders
from atelier.models.controls import Controls
from atelier.models.encoders.efficientnet_lite0 import DeepEfficientNetLite0
from atelier.models.pixels import fitted
from atelier.models.regions import RegionPlaces, styles_of_regions
from atelier.tasks.images.codec import Pixels, resize
from atelier.tasks.runtime.encoder_weights import resolve

ENCODER = "efficientnet_lite0_deep"  # its weights are in the same package as the embedded encoder's
HEIGHT_PX = 512
OPACITY = 0.6  # of the colours over the pictures


def placed_by_regions(controls: Controls, device: str) -> tuple[Controls, RegionPlaces]:
    """Controls whose styles are the regions of the style pictures, and what gives them their places in a picture."""
    encoder = encoders.load(ENCODER, resolve(ENCODER)).to(device)
    assert isinstance(encoder, DeepEfficientNetLite0)
    styles, regions = styles_of_regions(controls.styles, encoder)
    return replace(controls, styles=tuple(styles)), RegionPlaces(encoder, regions)


def region_sheet(picture: Pixels, controls: Controls) -> Pixels:
    """The regions of a picture, and to the right those of each style picture; what is matched has the same colour.

    Args:
        picture: (H, W, 3) sRGB.
        controls: with style pictures, and regions.
    """
    _, places = placed_by_regions(controls, "cpu")
    image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None]
    counts = [len(regions.means) for regions in places.styles]
    colours = _colours(sum(counts))
    shown = [_shown(picture, places.masks(image), colours)]
    for style, regions, own in zip(controls.styles, places.styles, torch.split(colours, counts), strict=True):
        assert style.pixels is not None
        masks = F.one_hot(regions.labels, len(own)).permute(2, 0, 1)[None].float()
        shown.append(_shown(style.pixels, masks, own))
    return np.concatenate(shown, 1)


def _shown(picture: Pixels, masks: torch.Tensor, colours: torch.Tensor) -> Pixels:
    """A picture under the colours (S, 3) of its masks (1, S, h, w)."""
    height, width = picture.shape[:2]
    small = resize(picture, max(1, round(width * HEIGHT_PX / height)), HEIGHT_PX)
    painted = torch.einsum("bshw,sc->bhwc", fitted(masks, *small.shape[:2]), colours)[0].numpy()
    return ((1 - OPACITY) * small + OPACITY * painted).round().clip(0, 255).astype(np.uint8)


def _colours(count: int) -> torch.Tensor:
    """Colours (S, 3), 0…255, of evenly spread hues, light and dark by turns."""
    hues = torch.arange(count)[:, None] / count + torch.tensor([0, 1 / 3, 2 / 3])
    lights = torch.tensor([1.0, 0.6]).repeat(count)[:count, None]
    return 255 * lights * (0.5 + 0.5 * torch.cos(2 * torch.pi * hues))
