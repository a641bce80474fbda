"""Borders that mirror the picture, at the picture's own precision and without remembering it.

PyTorch's mixed precision pads in float32, and its gradient keeps the picture to know its size.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Reflection(nn.Module):
    """Continue pictures at each side by reflection.

    Args:
        size: of the border, px; less than the picture's sides.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H + 2 size, W + 2 size), of the same type and memory format."""
        if torch.compiler.is_exporting():
            return F.pad(x, (self.size,) * 4, mode="reflect")
        y: Tensor = _Reflected.apply(x, self.size)  # type: ignore[no-untyped-call]
        return y


class _Reflected(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int) -> Tensor:
        ctx.size, ctx.shape = size, x.shape
        with torch.autocast(x.device.type, enabled=False):
            return F.pad(x, (size,) * 4, mode="reflect")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        layout = torch.contiguous_format if gradient.is_contiguous() else torch.channels_last
        # the input decides only the size and the memory format
        picture = torch.empty(ctx.shape, dtype=gradient.dtype, device=gradient.device, memory_format=layout)
        return torch.ops.aten.reflection_pad2d_backward(gradient, picture, [ctx.size] * 4), None
