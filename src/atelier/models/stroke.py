"""The breadth of strokes: painting at a working size, and enlarging the result.

A network's strokes have a fixed size in pixels, so they are fine grain on a large picture. Painted small and enlarged
they have the same share of every picture.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from atelier.models.controls import Controls
from atelier.models.enlarging import Size, enlarged, linear_rows, resized, step_sizes, strips
from atelier.models.pixels import as_given, keep_color, to_float


@dataclass(frozen=True, eq=False)
class StrokePainter:
    """A painter that paints at a working size: a `Painter`, or of painters of placed styles a `StylesPainter`.

    Strength and the colours of the input are applied at full size, to the enlarged painting.
    """

    painter: Callable[..., Tensor]  # of full strength
    at_own_size: Callable[..., Tensor]  # of the controls' strength, for pictures whose working size is their own
    controls: Controls
    working_size: Callable[[int, int], Size]  # of a picture's height and width, px

    def __call__(self, images: Tensor, *masks: Tensor) -> Tensor:
        """Stylize pictures; see `Painter`, and `StylesPainter` for the masks."""
        size = (images.shape[2], images.shape[3])
        working = self.working_size(*size)
        if working == size:
            return self.at_own_size(images, *masks)
        if self.controls.strength == 0:
            return images
        with torch.inference_mode():
            painted = self._painted(images, working, size, masks)
            result = torch.empty_like(images)
            for top, end in strips(size):
                x = to_float(images[:, :, top:end], images.device)
                y = linear_rows(painted, size, top, end).clamp(-1, 1)
                if self.controls.preserve_color:
                    y = keep_color(y, x)
                result[:, :, top:end] = as_given(torch.lerp(x, y, self.controls.strength), images)
        return result

    def _painted(self, images: Tensor, working: Size, size: Size, masks: tuple[Tensor, ...]) -> Tensor:
        """The painting in [-1, 1], at the full size or at that of the last step on the way to it."""
        if working[0] > size[0] or working[1] > size[1]:  # finer strokes than the picture's own pixels give
            return resized(self.painter(resized(images, working), *masks), size)
        sizes = step_sizes(working, size)
        originals = [resized(images, sizes[-1])]
        for smaller in reversed(sizes[:-1]):
            originals.insert(0, resized(originals[0], smaller))
        return enlarged(self.painter(originals[0], *masks), originals)
