"""A small classifier of the attributes of an image, such as hair colour."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SEEN_PX = 64  # a side: what attributes show at, and the same for pictures of any size
SLOPE = 0.2  # of the leaky ReLUs


class Classifier(nn.Module):
    """Four strided convolutions and a linear layer over all positions, which matter: hair is above a face.

    It has no norm: colours are what many attributes are about.

    Args:
        filters: channels after the first convolution; they double with every further one.
    """

    def __init__(self, attributes: int, filters: int) -> None:
        super().__init__()
        self.filters = filters
        layers: list[nn.Module] = []
        channels = 3
        for index in range(4):
            layers += [nn.Conv2d(channels, filters * 2**index, 4, 2, 1), nn.LeakyReLU(SLOPE)]
            channels = filters * 2**index
        self.body = nn.Sequential(*layers)
        self.tell = nn.Linear(channels * (SEEN_PX // 16) ** 2, attributes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], of any size, to logits (B, attributes), float32; above 0 is yes."""
        if x.shape[2:] != (SEEN_PX, SEEN_PX):
            with torch.autocast(x.device.type, enabled=False):
                x = F.interpolate(x.float(), (SEEN_PX, SEEN_PX), mode="bilinear", antialias=True)
        logits: Tensor = self.tell(self.body(x).flatten(1))
        return logits.float()
