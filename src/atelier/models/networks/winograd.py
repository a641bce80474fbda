"""3×3 convolutions in float32 with 2.25 times fewer multiplications: Winograd's minimal filtering.

Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks", F(2×2, 3×3), equations 6 to 9: every tile of 2×2
outputs is Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A, with a 4×4 tile d of the input. Summed over the channels, the products ⊙ become 16
matrix products, which is where a processor is fast. The transforms only add, so the result is as exact as a direct
convolution's: both differ from float64 by rounding alone.

The library behind PyTorch has no such kernel for today's processors, and its direct one is at their peak already: fewer
multiplications are the only way to be faster at the same precision.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_TILES = 128  # of a block: its transformed input, 16 × 128 × C, stays in the cache


class Conv3x3(nn.Conv2d):
    """A 3×3 convolution without padding or bias; Winograd's where that is faster.

    Args:
        channels: in.
        out: channels out.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, 3, bias=False)
        self.weight.data = self.weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H + 2, W + 2) to (B, out, H, W)."""
        if self._worth_it(x):
            y: Tensor = _Convolution.apply(x, self.weight)  # type: ignore[no-untyped-call]
            return y
        return super().forward(x)

    def _worth_it(self, x: Tensor) -> bool:
        """On a processor, in float32, with channels enough to outweigh the transforms."""
        if torch.compiler.is_exporting():
            return False
        exact = x.dtype == torch.float32 and not torch.is_autocast_enabled(x.device.type)
        even = x.shape[2] % 2 == x.shape[3] % 2 == 0
        return exact and even and x.device.type == "cpu" and min(self.weight.shape[:2]) >= 64


def arranged(x: Tensor) -> Tensor:
    """The same pictures in the memory format that convolutions of many channels take and give without copying."""
    if x.device.type != "cpu" or torch.compiler.is_exporting():
        return x
    return x.contiguous(memory_format=torch.channels_last)


class _Convolution(torch.autograd.Function):
    """Layouts inside: pictures (B, H, W, C), weights transformed to (16, C, O)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _correlate(x.permute(0, 2, 3, 1), _transformed(weight)).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].permute(0, 2, 3, 1)
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            # the adjoint of a correlation is one with the flipped filter, from outputs to inputs
            flipped = _transformed(weight.flip(2, 3).transpose(0, 1))
            of_x = _correlate(F.pad(gradient, (0, 0, 2, 2, 2, 2)), flipped).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(x.permute(0, 2, 3, 1), gradient)
        return of_x, of_weight


def _transformed(weight: Tensor) -> Tensor:
    """G g Gᵀ: (O, C, 3, 3) to (16, C, O)."""
    g = weight.permute(2, 3, 1, 0).reshape(9, -1)  # (9, C · O)
    return (_kron(weight) @ g).view(16, weight.shape[1], weight.shape[0])


def _kron(like: Tensor) -> Tensor:
    """G ⊗ G, (16, 9)."""
    g = like.new_tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    return torch.kron(g, g)


def _blocks(height: int, width: int) -> list[slice]:
    """The rows of tiles, in blocks of about `_TILES` tiles."""
    h, w = height // 2, width // 2
    count = min(h, max(1, round(h * w / _TILES)))
    return [slice(i * h // count, (i + 1) * h // count) for i in range(count)]


def _correlate(x: Tensor, u: Tensor) -> Tensor:
    """(B, H + 2, W + 2, C) with transformed weights (16, C, O) to (B, H, W, O)."""
    b, height, width, out = x.shape[0], x.shape[1] - 2, x.shape[2] - 2, u.shape[2]
    y = x.new_empty(b, height // 2, 2, width // 2, 2, out)
    blocks = _blocks(height, width)
    memory = _Memory(x)
    for i in range(b):
        for rows in blocks:
            v = memory.input_tiles(x[i, 2 * rows.start : 2 * rows.stop + 2])  # (16, h · w, C)
            m = memory.take("products", 16, v.shape[1], out)
            torch.bmm(v, u, out=m)
            m = m.view(4, 4, rows.stop - rows.start, width // 2, out)
            column = memory.take("columns", 2, *m.shape[1:])  # (2, 4, h, w, O)
            torch.add(m[0], m[1], out=column[0]).add_(m[2])
            torch.sub(m[1], m[2], out=column[1]).sub_(m[3])
            for a in range(2):
                to, c = y[i, rows, a], column[a]  # (h, w, 2, O), (4, h, w, O)
                torch.add(c[0], c[1], out=to[:, :, 0]).add_(c[2])
                torch.sub(c[1], c[2], out=to[:, :, 1]).sub_(c[3])
    return y.view(b, height, width, out)


def _weight_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """Of (B, H + 2, W + 2, C) and the output's gradient (B, H, W, O): (O, C, 3, 3)."""
    b, height, width, out = gradient.shape
    channels = x.shape[3]
    total = x.new_zeros(16, channels, out)
    blocks = _blocks(height, width)
    memory = _Memory(x)
    for i in range(b):
        for rows in blocks:
            v = memory.input_tiles(x[i, 2 * rows.start : 2 * rows.stop + 2])  # (16, h · w, C)
            m = memory.output_tiles(gradient[i, 2 * rows.start : 2 * rows.stop])  # (16, h · w, O)
            total.baddbmm_(v.transpose(1, 2), m)
    g = _kron(x).t() @ total.view(16, -1)  # (9, C · O)
    return g.view(3, 3, channels, out).permute(3, 2, 0, 1)


class _Memory:
    """Transforms whose results stay in the cache, because every block writes them to the same place.

    Args:
        like: a tensor of the same type.
    """

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._taken: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """A tensor of this shape, with the contents of the last one of this name."""
        size = math.prod(shape)
        if name not in self._taken or self._taken[name].numel() < size:
            self._taken[name] = self._like.new_empty(size)
        return self._taken[name][:size].view(shape)

    def input_tiles(self, x: Tensor) -> Tensor:
        """Bᵀ d B of every tile: (2h + 2, 2w + 2, C) to (16, h · w, C)."""
        h, w, channels = x.shape[0] // 2 - 1, x.shape[1] // 2 - 1, x.shape[2]
        r = self.take("rows", 4, h, x.shape[1], channels)
        _input_transform([x[a : a + 2 * h : 2] for a in range(4)], r.unbind())
        v = self.take("inputs", 4, 4, h, w, channels)
        _input_transform([r[:, :, a : a + 2 * w : 2] for a in range(4)], v.unbind(1))
        return v.view(16, h * w, channels)

    def output_tiles(self, y: Tensor) -> Tensor:
        """A y Aᵀ of every tile, the adjoint of what makes outputs: (2h, 2w, O) to (16, h · w, O)."""
        h, w, out = y.shape[0] // 2, y.shape[1] // 2, y.shape[2]
        r = self.take("rows", 4, h, y.shape[1], out)
        _output_transform([y[a::2] for a in range(2)], r.unbind())
        m = self.take("outputs", 4, 4, h, w, out)
        _output_transform([r[:, :, a::2] for a in range(2)], m.unbind(1))
        return m.view(16, h * w, out)


def _input_transform(d: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    torch.sub(d[0], d[2], out=out[0])
    torch.add(d[1], d[2], out=out[1])
    torch.sub(d[2], d[1], out=out[2])
    torch.sub(d[1], d[3], out=out[3])


def _output_transform(y: Sequence[Tensor], out: Sequence[Tensor]) -> None:
    out[0].copy_(y[0])
    torch.add(y[0], y[1], out=out[1])
    torch.sub(y[0], y[1], out=out[2])
    torch.neg(y[1], out=out[3])
