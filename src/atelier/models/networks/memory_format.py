"""Memory format inside a network: channels last on processors, as their convolutions of many channels want it."""

import torch
from torch import Tensor, nn


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
