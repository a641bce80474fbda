"""The generator: a picture in, the same picture painted out.

Layout of Johnson et al. 2016, "Perceptual Losses for Real-Time Style Transfer" (two strided convolutions, residual
blocks, two upsamplings) with three changes: bilinear upsampling followed by a convolution instead of a
transposed one, which leaves no checkerboard (Odena et al. 2016); InstanceNorm (Ulyanov et al. 2016); and the network
paints over an underpainting, the picture without its finest detail. So content is there from the first step, but the
detail is the painter's own: photographic detail that is only added to could never be taken away, since the network
sees it at a quarter of the size. Against a discriminator alone, in a short training, strokes do not come soon enough:
then the picture itself is changed.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.networks.convolution import ToPicture
from atelier.models.networks.reflection import Reflection
from atelier.models.networks.resnet import features


def norm(channels: int, shift: bool = True) -> nn.InstanceNorm2d:
    """InstanceNorm, scaled and, by default, shifted: Ulyanov et al. 2016, equation 4."""
    layer = nn.InstanceNorm2d(channels, affine=True)
    if not shift:
        layer.register_parameter("bias", None)
    return layer


def convolution(channels: int, out: int, kernel: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A convolution with reflected borders. No bias by default: the norm behind it would remove it again."""
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2, padding_mode="reflect", bias=bias)


class Residual(nn.Module):
    """x + two normalised 3×3 convolutions.

    The second norm has no shift: through skips, upsampling and convolutions it would reach the next norm as a constant,
    which that one takes out again.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels, channels, 3),
            norm(channels),
            nn.ReLU(),
            convolution(channels, channels, 3),
            norm(channels, shift=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        y: Tensor = self.body(x)
        return x + y


def decoder(width: int, filters: int) -> nn.Sequential:
    """Features (B, width, H, W) to (B, filters, 4 H, 4 W), with twice as many channels between."""
    return nn.Sequential(
        *(nn.Upsample(scale_factor=2, mode="bilinear"), convolution(width, 2 * filters, 3)),
        *(norm(2 * filters), nn.ReLU()),
        *(nn.Upsample(scale_factor=2, mode="bilinear"), convolution(2 * filters, filters, 3)),
        *(norm(filters), nn.ReLU()),
    )


def underpainting(x: Tensor) -> Tensor:
    """(B, 3, H, W) averaged over 2×2 pixels and smoothly enlarged again."""
    return F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")


class Generator(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] to painted pictures of the same shape, which may leave that range a little.

    Args:
        filters: channels at full size, where a channel costs most; twice as many at half the size.
        width: channels at a quarter of the size.
        underpainted: paint over the underpainting, else over the picture itself.
    """

    def __init__(self, filters: int, width: int, blocks: int, underpainted: bool = True) -> None:
        super().__init__()
        self.underpainted = underpainted
        f, w = filters, width
        self.before = blocks // 2 + 1  # residual blocks up to the middle one
        self.channels = (3, 2 * f, w, w, w)[: 5 if self.before > 1 else 4]  # of the features
        self.encode = nn.Sequential(
            *(convolution(3, f, 5), norm(f), nn.ReLU()),
            *(convolution(f, 2 * f, 3, 2), norm(2 * f), nn.ReLU()),
            *(convolution(2 * f, w, 3, 2), norm(w), nn.ReLU()),
        )
        self.transform = nn.Sequential(*(Residual(w) for _ in range(blocks)))
        self.decode = decoder(w, f)
        self.border, self.draw = Reflection(2), ToPicture(f, 3, 5)
        nn.init.zeros_(self.draw.weight)
        assert self.draw.bias is not None
        nn.init.zeros_(self.draw.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Height and width must be multiples of 4 and at least 8 px."""
        y: Tensor = self.encode(x)  # (B, w, H/4, W/4)
        return self.drawn(x, self.decode(self.transform(y)))

    def drawn(self, x: Tensor, y: Tensor) -> Tensor:
        """The picture that is made of x (B, 3, H, W) and of what is decoded for it (B, f, H, W)."""
        strokes: Tensor = self.draw(self.border(y))  # (B, 3, H, W)
        return (underpainting(x) if self.underpainted else x) + strokes.to(x.dtype)

    def features(self, x: Tensor) -> list[Tensor]:
        """What is seen on the first half of the way: as `ResnetGenerator.features`."""
        return features(x, self.encode, list(self.transform)[: self.before])

    def finished(self, seen: Sequence[Tensor]) -> Tensor:
        """What `forward` makes of a picture with these `features`."""
        return self.drawn(seen[0], self.decode(self.transform[self.before :](seen[-1])))
