"""InstanceNorm without weights, fused with its activation: one pass less over memory, and one activation less to keep.

Ulyanov et al. 2016, "Instance Normalization", equation 4; followed by a leaky ReLU (Maas et al. 2013). Mean and
variance are float32 whatever the type of the picture. For the gradient only the input is kept: the sign of the
activation is that of input minus mean. PyTorch's own would keep the normalised picture too, and copy pictures whose
channels are last.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5
NONE = 1.0  # slope of no activation


class InstanceNorm(nn.Module):
    """Each channel of each picture to mean 0 and variance 1, then a leaky ReLU.

    Args:
        slope: of the activation below zero: 0 is ReLU, 1 is none.
    """

    def __init__(self, slope: float = NONE) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, type and memory format.

        Raises:
            ValueError: there is but one position to normalise over.
        """
        if torch.compiler.is_exporting():
            y = F.instance_norm(x, eps=EPSILON)
            return y if self.slope == NONE else F.leaky_relu(y, self.slope)
        if x.shape[2] * x.shape[3] == 1:
            raise ValueError(f"a picture of {tuple(x.shape)} has nothing to normalise over: use larger pictures")
        normalised: Tensor = _Normalised.apply(x, self.slope)  # type: ignore[no-untyped-call]
        return normalised


class _Normalised(torch.autograd.Function):
    """Its backward is of operations that have a gradient themselves, so that penalties can differentiate it twice."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        parts, statistics = [], []
        for flat in _flat(x):
            y, mean, scale = torch.native_batch_norm(flat, *_affine(flat), None, None, True, 0.0, EPSILON)
            parts.append(y if slope == NONE else F.leaky_relu_(y, slope) if slope else y.relu_())
            statistics += [mean, scale]
        ctx.slope = slope
        ctx.save_for_backward(x, *statistics)
        return _joined(parts, x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        x, *statistics = ctx.saved_tensors
        layout = torch.channels_last if _channels_last(x) else torch.contiguous_format
        parts = []
        for flat, gradient, mean, scale in zip(
            _flat(x),
            _flat(gradients[0].contiguous(memory_format=layout)),
            statistics[::2],
            statistics[1::2],
            strict=True,
        ):
            if ctx.slope != NONE:
                side = (flat - mean[:, None, None]).to(gradient.dtype)  # its sign is what counts
                gradient = torch.ops.aten.leaky_relu_backward(gradient, side, ctx.slope, False)
            of_x, _, _ = torch.ops.aten.native_batch_norm_backward(
                gradient, flat, _affine(flat)[0], None, None, mean, scale, True, EPSILON, [True, False, False]
            )
            parts.append(of_x)
        return _joined(parts, x), None


def _channels_last(x: Tensor) -> bool:
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def _flat(x: Tensor) -> list[Tensor]:
    """As pictures (1, N, H, W) that BatchNorm normalises as InstanceNorm would: all as one, or each on its own."""
    return list(torch.split(x, 1)) if _channels_last(x) else [x.reshape(1, -1, *x.shape[2:])]


def _joined(parts: list[Tensor], like: Tensor) -> Tensor:
    """Back to (B, C, H, W)."""
    return parts[0].view(like.shape) if len(parts) == 1 else torch.cat(parts)


def _affine(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Weights 1 and biases 0; their type is that of the statistics, and the gradient of no weight is asked for."""
    dtype = torch.promote_types(flat.dtype, torch.float32)
    return torch.ones(flat.shape[1], dtype=dtype, device=flat.device), torch.zeros(
        flat.shape[1], dtype=dtype, device=flat.device
    )
