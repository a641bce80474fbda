"""The generator of CycleGAN: Johnson et al. 2016's layout with residual blocks, as in Zhu et al. 2017, section 7.2.

c7s1-64, d128, d256, nine R256 for 256 pixels and more, u128, u64, c7s1-3. Its InstanceNorm has no weights (which is why
convolutions before it have no bias: the norm would take it out again).
"""

from collections.abc import Sequence

from torch import Tensor, nn

from atelier.models.networks.convolution import FromPicture, ToPicture, channels_last, conv3x3
from atelier.models.networks.dropout import ChannelDropout
from atelier.models.networks.instance_norm import InstanceNorm
from atelier.models.networks.reflection import Reflection

RELU = 0.0  # slope


class Residual(nn.Module):
    """x + two normalised 3×3 convolutions, with dropout between them: He et al. 2016; Isola et al. 2017."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second = (conv3x3(channels) for _ in range(2))
        self.activate, self.normalise = InstanceNorm(RELU), InstanceNorm()
        self.dropout, self.pad = ChannelDropout(dropout), Reflection(1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        y = x
        for layer in self.body:
            y = layer(y)
        return x + y

    @property
    def body(self) -> tuple[nn.Module, ...]:
        """The layers of what is added, in their order."""
        return self.pad, self.first, self.activate, self.dropout, self.pad, self.second, self.normalise


class ResnetGenerator(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] to pictures of the same shape and range.

    Args:
        filters: channels at full size; four times as many in the residual blocks.
        dropout: share of the channels left out in each block, while training.
    """

    def __init__(self, filters: int, blocks: int, dropout: float) -> None:
        super().__init__()
        f = filters
        self.before = blocks // 2 + 1  # residual blocks up to the middle one
        self.channels = (3, 2 * f, 4 * f, 4 * f, 4 * f)[: 5 if self.before > 1 else 4]  # of the features
        self.encode = nn.Sequential(
            *(Reflection(3), FromPicture(3, f, 7), InstanceNorm(RELU)),
            *(nn.Conv2d(f, 2 * f, 3, 2, 1, bias=False), InstanceNorm(RELU)),
            *(nn.Conv2d(2 * f, 4 * f, 3, 2, 1, bias=False), InstanceNorm(RELU)),
        )
        self.transform = nn.Sequential(*(Residual(4 * f, dropout) for _ in range(blocks)))
        self.decode = nn.Sequential(
            *(nn.ConvTranspose2d(4 * f, 2 * f, 3, 2, 1, 1, bias=False), InstanceNorm(RELU)),
            *(nn.ConvTranspose2d(2 * f, f, 3, 2, 1, 1, bias=False), InstanceNorm(RELU)),
            *(Reflection(3), ToPicture(f, 3, 7), nn.Tanh()),
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Height and width must be multiples of 4 and at least 8 px."""
        y = self.encode(x)  # (B, 4 f, H/4, W/4)
        return self.drawn(x, self.decode(self.transform(channels_last(y)).contiguous()))

    def drawn(self, x: Tensor, y: Tensor) -> Tensor:
        """The picture that is made of x (B, 3, H, W) and of what is decoded for it, which is all of it here."""
        return y.float()

    def features(self, x: Tensor) -> list[Tensor]:
        """What is seen of (B, 3, H, W) on the first half of the way: Park et al. 2020, section 3.

        Returns:
            (B, C, h, w) each: the picture itself, the convolutions that halve it before their norms, the first
            residual block and the middle one (of nine the fifth), which is the first where there is but one.
        """
        return features(x, self.encode, list(self.transform)[: self.before])

    def finished(self, seen: Sequence[Tensor]) -> Tensor:
        """What `forward` makes of a picture with these `features`."""
        return self.drawn(seen[0], self.decode(self.transform[self.before :](seen[-1]).contiguous()))


def features(x: Tensor, encode: nn.Sequential, blocks: Sequence[nn.Module]) -> list[Tensor]:
    """See `ResnetGenerator.features`; of these layers."""
    seen, y = [x], x
    for layer in encode:
        y = layer(y)
        if isinstance(layer, nn.Conv2d) and (layer.kernel_size == (3, 3) or layer.stride == (2, 2)):
            seen.append(y)
    y = channels_last(y)
    for index, block in enumerate(blocks):
        y = block(y)
        if index in (0, len(blocks) - 1):
            seen.append(y)
    return seen


def initialise(network: nn.Module) -> None:
    """Weights from N(0, 0.02²), no biases: Zhu et al. 2017, section 7.1."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
