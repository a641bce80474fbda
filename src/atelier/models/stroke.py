"""The breadth of strokes: painting at a working size, and enlarging the result.

A network's strokes have a fixed size in pixels, so they are fine grain on a large picture. Painted small and enlarged
they have the same share of every picture.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models.controls import Controls
from atelier.models.enlarging import Size, enlarged, linear_rows, resized, step_sizes, strips
from atelier.models.painter import Painter
from atelier.models.pixels import as_given, keep_color, to_float

LEAST = 1e-3  # share of a picture that a mask must leave to the style to be undone


@dataclass(frozen=True, eq=False)
class StrokePainter:
    """A painter that paints at a working size.

    Strength, masks and the colours of the input are applied at full size, to the enlarged painting: what is not painted
    keeps every pixel.
    """

    painter: Painter  # of full strength
    at_own_size: Painter  # of the controls' strength, for pictures whose working size is their own
    controls: Controls
    working_size: Callable[[int, int], Size]  # of a picture's height and width, px

    def __call__(self, images: Tensor) -> Tensor:
        """Stylize pictures; see `Painter`."""
        size = (images.shape[2], images.shape[3])
        working = self.working_size(*size)
        if working == size:
            return self.at_own_size(images)
        if self.controls.strength == 0:
            return images
        with torch.inference_mode():
            painted = self._painted(images, working, size)
            result = torch.empty_like(images)
            masks = self._masks(images.device)
            for top, end in strips(size):
                x = to_float(images[:, :, top:end], images.device)
                y = linear_rows(painted, size, top, end).clamp(-1, 1)
                if self.controls.preserve_color:
                    y = keep_color(y, x)
                weight = torch.full((1,), self.controls.strength, device=x.device)
                if masks is not None:
                    weight = weight * linear_rows(masks, size, top, end).clamp(0, 1).sum(1, keepdim=True).clamp(max=1)
                result[:, :, top:end] = as_given(torch.lerp(x, y, weight), images)
        return result

    def _painted(self, images: Tensor, working: Size, size: Size) -> Tensor:
        """The painting in [-1, 1], at the full size or at that of the last step on the way to it."""
        if working[0] > size[0] or working[1] > size[1]:  # finer strokes than the picture's own pixels give
            return resized(self._unmasked(resized(images, working)), size)
        sizes = step_sizes(working, size)
        originals = [resized(images, sizes[-1])]
        for smaller in reversed(sizes[:-1]):
            originals.insert(0, resized(originals[0], smaller))
        return enlarged(self._unmasked(originals[0]), originals)

    def _unmasked(self, x: Tensor) -> Tensor:
        """What is painted of x (B, 3, h, w) in [-1, 1], without the share of x that masks leave in it."""
        painted = self.painter(x)
        if (masks := self._masks(x.device)) is None:
            return painted
        size = (x.shape[2], x.shape[3])
        share = F.interpolate(masks, size, mode="bilinear", antialias=True).clamp(0, 1).sum(1, keepdim=True)
        whole = (x + (painted - x) / share.clamp(LEAST, 1)).clamp(-1, 1)
        return torch.where(share > LEAST, whole, painted)

    def _masks(self, device: torch.device) -> Tensor | None:
        """The masks of the styles (1, N, h, w) in [0, 1]; None if one of them applies everywhere."""
        masks = [style.mask for style in self.controls.styles if style.mask is not None]
        if not masks or len(masks) < len(self.controls.styles):
            return None
        height, width = max(mask.shape[0] for mask in masks), max(mask.shape[1] for mask in masks)
        given = [torch.from_numpy(mask.copy())[None, None].to(device) / 255 for mask in masks]
        return torch.cat([F.interpolate(mask, (height, width), mode="bilinear", antialias=True) for mask in given], 1)
