"""Memory format of pictures inside a network: channels last on processors."""

import torch
from torch import Tensor


def channels_last(x: Tensor) -> Tensor:
    """The same pictures in the memory format that convolutions of many channels take and give without copying.

    Args:
        x: (B, C, H, W).
    """
    if x.device.type != "cpu" or torch.compiler.is_exporting():
        return x
    return x.contiguous(memory_format=torch.channels_last)
