"""Generators of images of one size from noise, and their discriminator.

None of them normalises over the batch. Radford et al. 2016 use BatchNorm in both networks: an image would then depend
on its neighbours, so on the number of workers and of micro-batches, and averaged weights would run with statistics of
other weights. In its place the generators normalise each image by itself, and the discriminator has no norm but a
gradient penalty.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.gan import LEAST_PX
from atelier.models.networks.resnet import initialise

SLOPE = 0.2  # of the leaky ReLUs


def doublings(size: int) -> int:
    """From the smallest features to the picture: 4 for 64 px. Raises ValueError where the size is not known."""
    if size < LEAST_PX:
        raise ValueError(f"size_px is {size}: a trained model has the side of its pictures")
    return (size // LEAST_PX).bit_length() - 1


class PixelNorm(nn.Module):
    """The features of each position to a mean square of 1: Karras et al. 2018, "Progressive Growing", section 4.2."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape and type."""
        return x * torch.rsqrt(x.float().square().mean(1, keepdim=True) + 1e-8).to(x.dtype)


class DenseGenerator(nn.Module):
    """Linear layers only: Goodfellow et al. 2014, as it is usually built today, with leaky ReLUs and norms.

    Ba et al. 2016, "Layer Normalization", in place of BatchNorm.

    Args:
        width: of the last hidden layer; a half and a quarter of it before.
    """

    def __init__(self, noise: int, width: int, size: int) -> None:
        super().__init__()
        self.size = size
        layers: list[nn.Module] = []
        last = noise
        for hidden in (width // 4, width // 2, width):
            layers += [nn.Linear(last, hidden, bias=False), nn.LayerNorm(hidden), nn.LeakyReLU(SLOPE)]
            last = hidden
        self.body = nn.Sequential(*layers, nn.Linear(last, 3 * size * size), nn.Tanh())

    def forward(self, noise: Tensor) -> Tensor:
        """(B, noise) to (B, 3, size, size) in [-1, 1]."""
        made: Tensor = self.body(noise)
        return made.view(-1, 3, self.size, self.size).float()


class DcganGenerator(nn.Module):
    """The generator of DCGAN: Radford et al. 2016, figure 1, for any of `configs.gan.SIZES`.

    Args:
        filters: channels before the picture; they double with every halving of the size.
    """

    def __init__(self, noise: int, filters: int, size: int) -> None:
        super().__init__()
        count = doublings(size)
        channels = [filters * min(2 ** (count - 1 - index), 8) for index in range(count)]
        self.project = nn.ConvTranspose2d(noise, channels[0], LEAST_PX, bias=False)
        layers: list[nn.Module] = []
        for last, out in pairwise(channels):
            layers += [nn.ConvTranspose2d(last, out, 4, 2, 1, bias=False), PixelNorm(), nn.ReLU()]
        self.body = nn.Sequential(PixelNorm(), nn.ReLU(), *layers)
        self.draw = nn.ConvTranspose2d(channels[-1], 3, 4, 2, 1)
        initialise(self)

    def forward(self, noise: Tensor) -> Tensor:
        """(B, noise) to (B, 3, size, size) in [-1, 1]."""
        made: Tensor = self.draw(self.body(self.project(noise[:, :, None, None])))
        return made.tanh().float()


class DcganDiscriminator(nn.Module):
    """One score for a whole picture: the discriminator of DCGAN without BatchNorm.

    Spectral norms in its place (Miyato et al. 2018) made it so weak that one face with a grid satisfied it.

    Args:
        filters: channels after the first convolution; they double with every further one, up to eight times.
        scores: numbers that are told of a picture.
    """

    def __init__(self, filters: int, size: int, scores: int = 1) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        channels = 3
        for layer in range(doublings(size)):
            out = filters * min(2**layer, 8)
            self.convs.append(nn.Conv2d(channels, out, 4, 2, 1))
            channels = out
        self.score = nn.Conv2d(channels, scores, LEAST_PX)
        for conv in self.convs:
            assert isinstance(conv, nn.Conv2d)
            nn.init.kaiming_normal_(conv.weight, SLOPE)
        nn.init.normal_(self.score.weight, std=0.02)

    def features(self, x: Tensor) -> Tensor:
        """(B, 3, size, size) in [-1, 1] to what the score is taken from, (B, C, 4, 4)."""
        for conv in self.convs:
            x = F.leaky_relu(conv(x), SLOPE)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, size, size) in [-1, 1] to scores (B, scores, 1, 1), float32; higher is more like the style domain."""
        scores: Tensor = self.score(self.features(x))
        return scores.float()
