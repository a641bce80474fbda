"""Luminance inversion: a known failure of adversarial training that distances can miss."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # settings take `INVERTED` from here, without torch
    from torch import Tensor

INVERTED = -0.2  # correlation under which light and dark are exchanged; strokes on a flat picture scatter around 0


def correlation(x: "Tensor", y: "Tensor") -> "Tensor":
    """Pearson correlation of the luminance of input and output, picture by picture.

    Args:
        x: luminance of the inputs (B, 1, H, W).
        y: luminance of the outputs, as x.

    Returns:
        (B,) in [-1, 1]; below `INVERTED` the picture is a negative. 0 where either picture is of one value.
    """
    x, y = x.double().flatten(1), y.double().flatten(1)
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    norm = x.norm(dim=1) * y.norm(dim=1)
    result: Tensor = (x * y).sum(1) / norm.clamp_min(1e-12)
    return result
