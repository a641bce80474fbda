"""A light generator: Johnson et al. 2016's layout without features at full size on the way in.

Four changes to "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", supplement: the first
convolution halves the picture already, since features at full size cost most and strokes need few of them; bilinear
upsampling and a convolution take the place of a transposed one, which leaves a checkerboard (Odena et al. 2016); norms
are InstanceNorms (Ulyanov et al. 2016). Beside the picture it is given strokes, see `stroke_planes`. The picture is
made anew, without an underpainting: a stroke covers what was there.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from atelier.models.networks.convolution import ToPicture
from atelier.models.networks.generator import Residual, convolution, decoder, norm
from atelier.models.networks.reflection import Reflection
from atelier.models.networks.resnet import features
from atelier.models.networks.stroke_planes import STROKES, StrokePlanes


class LightGenerator(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] to pictures of the same shape and range.

    Args:
        filters: channels at full size, where a channel costs most; twice as many at half the size.
        width: channels at a quarter of the size.
    """

    def __init__(self, filters: int, width: int, blocks: int) -> None:
        super().__init__()
        f, w = filters, width
        self.before = blocks // 2 + 1  # residual blocks up to the middle one
        self.channels = (3, 2 * f, w, w, w)[: 5 if self.before > 1 else 4]  # of the features
        self.strokes = StrokePlanes()
        self.encode = nn.Sequential(
            *(convolution(3 + len(STROKES), 2 * f, 7, 2), norm(2 * f), nn.ReLU()),
            *(convolution(2 * f, w, 3, 2), norm(w), nn.ReLU()),
        )
        self.transform = nn.Sequential(*(Residual(w) for _ in range(blocks)))
        self.decode = decoder(w, f)
        self.border, self.draw = Reflection(2), ToPicture(f, 3, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Height and width must be multiples of 4 and at least 8 px."""
        y: Tensor = self.encode(self.given(x))  # (B, w, H/4, W/4)
        return self.drawn(x, self.decode(self.transform(y)))

    def given(self, x: Tensor, top: int = 0, left: int = 0) -> Tensor:
        """Pictures (B, 3, H, W) with the strokes, (B, 5, H, W); those of a region from row `top`, column `left`."""
        strokes = self.strokes(x.shape[2], x.shape[3], top, left)
        return torch.cat([x, strokes.to(x.dtype).expand(x.shape[0], -1, -1, -1)], 1)

    def drawn(self, x: Tensor, y: Tensor) -> Tensor:
        """The picture that is made of what is decoded (B, f, H, W) for x (B, 3, H, W), of which nothing is kept."""
        picture: Tensor = self.draw(self.border(y))  # (B, 3, H, W)
        return picture.tanh().to(x.dtype)

    def features(self, x: Tensor) -> list[Tensor]:
        """What is seen on the first half of the way: as `ResnetGenerator.features`."""
        return [x, *features(self.given(x), self.encode, list(self.transform)[: self.before])[1:]]

    def finished(self, seen: Sequence[Tensor]) -> Tensor:
        """What `forward` makes of a picture with these `features`."""
        return self.drawn(seen[0], self.decode(self.transform[self.before :](seen[-1])))
