"""Convolutions in a form that keeps a processor busy.

Those of many channels want the channels last in memory. Kernels work on 16 channels at a time, so three cost as much as
sixteen. The rows of a k×k filter are channels as well as positions: a convolution from 3 channels equals a 1×k one from
3 k channels, which hold the picture moved up by 0…k − 1 rows; one to 3 channels equals a 1×k one to 3 k channels, which
are moved and added. What is exported computes the sums of 2×2 pixels together instead: they are twelve channels of a
convolution with stride 2, whose kernel holds the given one four times, moved, and a pixel shuffle puts them in their
places (Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
Neural Network", section 3.2).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv3x3(channels: int) -> nn.Conv2d:
    """A 3×3 convolution from and to so many channels, without padding or bias, its weights with the channels last."""
    convolution = nn.Conv2d(channels, channels, 3, bias=False)
    convolution.weight.data = convolution.weight.data.contiguous(memory_format=torch.channels_last)
    return convolution


def channels_last(x: Tensor) -> Tensor:
    """The same pictures (B, C, H, W) in the memory format that such convolutions take and give without copying."""
    if x.device.type != "cpu" or torch.compiler.is_exporting():
        return x
    return x.contiguous(memory_format=torch.channels_last)


class FromPicture(nn.Conv2d):
    """A convolution from few channels, without padding or bias."""

    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__(channels, out, kernel, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H + k − 1, W + k − 1) to (B, out, H, W)."""
        if x.device.type != "cpu" or torch.compiler.is_exporting():
            return super().forward(x)
        out, channels, k, _ = self.weight.shape
        rows = x.unfold(2, k, 1).permute(0, 1, 4, 2, 3).flatten(1, 2)  # (B, C k, H, W + k − 1)
        return F.conv2d(rows, self.weight.reshape(out, channels * k, 1, k))


class ToPicture(nn.Conv2d):
    """A convolution to few channels, without padding, with a bias."""

    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__(channels, out, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H + k − 1, W + k − 1) to (B, out, H, W); H and W even where it is exported."""
        assert self.bias is not None
        if torch.compiler.is_exporting():
            four = [F.pad(self.weight, (right, 1 - right, down, 1 - down)) for down in (0, 1) for right in (0, 1)]
            weight = torch.stack(four, 1).flatten(0, 1)  # (4 out, C, k + 1, k + 1)
            return F.pixel_shuffle(F.conv2d(x, weight, self.bias.repeat_interleave(4), 2), 2)
        if x.device.type != "cpu":
            return super().forward(x)
        out, channels, k, _ = self.weight.shape
        weight = self.weight.transpose(1, 2).reshape(out * k, channels, 1, k)
        rows = F.conv2d(x.contiguous(memory_format=torch.channels_last), weight)  # (B, out k, H + k − 1, W)
        moved = rows.view(len(x), out, k, *rows.shape[2:]).float().unbind(2)  # k of (B, out, H + k − 1, W)
        height = rows.shape[2] - k + 1
        y = torch.stack([row[:, :, i : i + height] for i, row in enumerate(moved)]).sum(0)
        return y + self.bias[:, None, None]
