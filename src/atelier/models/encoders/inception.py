"""Inception-v3 as the Fréchet Inception Distance defines it: the network of 2015-12-05, features of its last pooling.

The network differs from torchvision's in the last two blocks' pooling and in its weights; scores are comparable with
published ones only with exactly this one. Szegedy et al. 2016, arXiv:1512.00567; Heusel et al. 2017, arXiv:1706.08500.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.encoders.base import Encoder

SIZE = 299  # pixels, the input that the network was trained on
EPSILON = 1e-3  # of the reference's batch normalisation


class Inception(Encoder):
    """The network up to its last pooling, each normalisation folded into its convolution.

    Pictures of any size are resized to 299² by a bicubic filter with antialiasing, in float and without rounding, which
    is what clean-fid does (Parmar et al. 2022, arXiv:2104.11222), then scaled to (255 x - 128) / 128.
    """

    content_layer: ClassVar[str] = "mixed_7"
    style_layers: ClassVar[tuple[str, ...]] = ("conv_2", "conv_4", "mixed_2")

    def __init__(self) -> None:
        super().__init__()
        self.conv = Conv(3, 32, 3, stride=2)
        self.conv_1 = Conv(32, 32, 3)
        self.conv_2 = Conv(32, 64, 3, padding=1)
        self.conv_3 = Conv(64, 80, 1)
        self.conv_4 = Conv(80, 192, 3)
        self.mixed = _block_35(192, 32)
        self.mixed_1 = _block_35(256, 64)
        self.mixed_2 = _block_35(288, 64)
        self.mixed_3 = Branches(
            conv=Conv(288, 384, 3, stride=2),
            tower=chain(Conv(288, 64, 1), Conv(64, 96, 3, padding=1), Conv(96, 96, 3, stride=2)),
            pool=nn.MaxPool2d(3, 2),
        )
        self.mixed_4 = _block_17(128)
        self.mixed_5 = _block_17(160)
        self.mixed_6 = _block_17(160)
        self.mixed_7 = _block_17(192)
        self.mixed_8 = Branches(
            tower=chain(Conv(768, 192, 1), Conv(192, 320, 3, stride=2)),
            tower_1=chain(Conv(768, 192, 1), *_seven(192, 192, 192, wide_first=True), Conv(192, 192, 3, stride=2)),
            pool=nn.MaxPool2d(3, 2),
        )
        self.mixed_9 = Split(1280, nn.AvgPool2d(3, 1, 1, count_include_pad=False))
        self.mixed_10 = Split(2048, nn.MaxPool2d(3, 1, 1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Features from shallow to deep.

        Args:
            x: sRGB pictures (B, 3, H, W) in [0, 1].

        Returns:
            `conv_2` (B, 64, 147, 147), `conv_4` (B, 192, 71, 71), `mixed_2` (B, 288, 35, 35), `mixed_7`
            (B, 768, 17, 17) and last `pool3` (B, 2048), the features that FID and KID are defined on.
        """
        if x.shape[-2:] != (SIZE, SIZE):
            x = F.interpolate(x, size=(SIZE, SIZE), mode="bicubic", antialias=True, align_corners=False)
        return self.features((255 * x - 128) / 128)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """As `forward`, from the network's own input range (B, 3, 299, 299) in [-1, 127/128]."""
        conv_2 = self.conv_2(self.conv_1(self.conv(x)))
        conv_4 = self.conv_4(self.conv_3(F.max_pool2d(conv_2, 3, 2)))
        mixed_2 = self.mixed_2(self.mixed_1(self.mixed(F.max_pool2d(conv_4, 3, 2))))
        mixed_7 = self.mixed_7(self.mixed_6(self.mixed_5(self.mixed_4(self.mixed_3(mixed_2)))))
        pool3 = self.mixed_10(self.mixed_9(self.mixed_8(mixed_7))).mean(dim=(2, 3))
        return {"conv_2": conv_2, "conv_4": conv_4, "mixed_2": mixed_2, "mixed_7": mixed_7, "pool3": pool3}

    @classmethod
    def convert(cls, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Fold the fixed normalisation of the TorchScript reference, `net.layers.<layer>.{weight,beta,mean,var}`."""
        state: dict[str, Tensor] = {}
        for key in (k for k in published if k.endswith(".weight")):
            layer = key.removesuffix(".weight")
            beta, mean, var = (published[f"{layer}.{part}"].double() for part in ("beta", "mean", "var"))
            scale = (var + EPSILON).rsqrt()
            name = layer.removeprefix("net.layers.")
            state[f"{name}.weight"] = (published[key].double() * scale[:, None, None, None]).float()
            state[f"{name}.bias"] = (beta - mean * scale).float()
        return state


class Conv(nn.Conv2d):
    """A convolution with the folded normalisation in its bias, then a ReLU."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        return F.relu(super().forward(input), inplace=True)


class Branches(nn.Module):
    """Branches on one input, their outputs joined along the channels in the order they are given."""

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        return torch.cat([branch(x) for branch in self.children()], dim=1)


class Split(nn.Module):
    """The last blocks: two of their branches end in a wide and a tall convolution side by side."""

    def __init__(self, channels: int, pool: nn.Module) -> None:
        super().__init__()
        wide, tall = ((1, 3), (0, 1)), ((3, 1), (1, 0))
        self.conv = Conv(channels, 320, 1)
        self.tower_conv = Conv(channels, 384, 1)
        self.tower_mixed_conv = Conv(384, 384, wide[0], padding=wide[1])
        self.tower_mixed_conv_1 = Conv(384, 384, tall[0], padding=tall[1])
        self.tower_1_conv = Conv(channels, 448, 1)
        self.tower_1_conv_1 = Conv(448, 384, 3, padding=1)
        self.tower_1_mixed_conv = Conv(384, 384, wide[0], padding=wide[1])
        self.tower_1_mixed_conv_1 = Conv(384, 384, tall[0], padding=tall[1])
        self.pool = pool
        self.tower_2_conv = Conv(channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 8, 8) to (B, 2048, 8, 8)."""
        a = self.tower_conv(x)
        b = self.tower_1_conv_1(self.tower_1_conv(x))
        pairs = [self.tower_mixed_conv(a), self.tower_mixed_conv_1(a)]
        pairs += [self.tower_1_mixed_conv(b), self.tower_1_mixed_conv_1(b)]
        return torch.cat([self.conv(x), *pairs, self.tower_2_conv(self.pool(x))], dim=1)


def chain(*steps: nn.Module) -> nn.Sequential:
    """Steps one after the other; convolutions are named as in the reference: conv, conv_1, conv_2…"""
    names = ("conv" if i == 0 else f"conv_{i}" for i in range(len(steps)))
    named = ((next(names) if isinstance(step, Conv) else "pool", step) for step in steps)
    return nn.Sequential(OrderedDict(named))


def _seven(channels: int, inner: int, out: int, *, wide_first: bool) -> Iterable[Conv]:
    """A 7×7 convolution as 1×7 and 7×1."""
    wide, tall = ((1, 7), (0, 3)), ((7, 1), (3, 0))
    first, second = (wide, tall) if wide_first else (tall, wide)
    return Conv(channels, inner, first[0], padding=first[1]), Conv(inner, out, second[0], padding=second[1])


def _pooled(channels: int, out: int) -> nn.Sequential:
    return chain(nn.AvgPool2d(3, 1, 1, count_include_pad=False), Conv(channels, out, 1))


def _block_35(channels: int, pooled: int) -> Branches:
    return Branches(
        conv=Conv(channels, 64, 1),
        tower=chain(Conv(channels, 48, 1), Conv(48, 64, 5, padding=2)),
        tower_1=chain(Conv(channels, 64, 1), Conv(64, 96, 3, padding=1), Conv(96, 96, 3, padding=1)),
        tower_2=_pooled(channels, pooled),
    )


def _block_17(inner: int) -> Branches:
    return Branches(
        conv=Conv(768, 192, 1),
        tower=chain(Conv(768, inner, 1), *_seven(inner, inner, 192, wide_first=True)),
        tower_1=chain(
            Conv(768, inner, 1),
            *_seven(inner, inner, inner, wide_first=False),
            *_seven(inner, inner, 192, wide_first=False),
        ),
        tower_2=_pooled(768, 192),
    )
