"""Networks with attributes: a conditional generator, and discriminators that classify.

Layouts of Choi et al. 2018, "StarGAN", tables 4 and 5 of the appendix, with the changes that the classes name.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from atelier.models.encoders.base import Encoder
from atelier.models.networks.discriminator import GAIN
from atelier.models.networks.instance_norm import InstanceNorm
from atelier.models.networks.memory_format import channels_last, conv3x3
from atelier.models.networks.projected import Projected
from atelier.models.networks.reflection import Reflection
from atelier.models.networks.resnet import RELU, initialise
from atelier.models.networks.rgb_convolution import FromPicture, ToPicture

SLOPE = 0.2  # of the discriminator's leaky ReLUs
HIDDEN = 128  # numbers between what an encoder sees and the attributes
CELLS = 4  # a side of the grid of features that attributes are classified from


class ConditionedResidual(nn.Module):
    """x + two normalised 3×3 convolutions, between which labels scale and shift each channel.

    Dumoulin et al. 2017, "A Learned Representation for Artistic Style", equation 5.

    Args:
        channels: in and out.
        labels: numbers of a picture.
    """

    def __init__(self, channels: int, labels: int) -> None:
        super().__init__()
        self.first, self.second = (conv3x3(channels) for _ in range(2))
        self.normalise, self.pad = InstanceNorm(), Reflection(1)
        self.told = nn.Linear(labels, 2 * channels)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """(B, C, H, W) with labels (B, A) to (B, C, H, W)."""
        y: Tensor = self.normalise(self.first(self.pad(x)))
        scale, shift = self.told(labels)[:, :, None, None].chunk(2, 1)  # (B, C, 1, 1) each
        y = F.relu(y * (1 + scale) + shift)
        z: Tensor = self.normalise(self.second(self.pad(y)))
        return x + z


class ConditionedGenerator(nn.Module):
    """Pictures and labels to pictures.

    Labels come in as further planes of the picture, as in the paper. There a constant plane survives the norm behind
    the first convolution at the zero-padded borders only, which ours, being mirrored, are not: so that convolution has
    no norm behind it, and the residual blocks are told the labels too. What the network makes is added to the picture:
    it begins with a picture that is unchanged, and has not to learn that.

    Args:
        filters: channels at full size; four times as many in the residual blocks.
        blocks: residual blocks.
        labels: numbers of a picture.
    """

    def __init__(self, filters: int, blocks: int, labels: int) -> None:
        super().__init__()
        f = filters
        self.encode = nn.Sequential(
            *(Reflection(3), FromPicture(3 + labels, f, 7), nn.ReLU()),
            *(nn.Conv2d(f, 2 * f, 4, 2, 1, bias=False), InstanceNorm(RELU)),
            *(nn.Conv2d(2 * f, 4 * f, 4, 2, 1, bias=False), InstanceNorm(RELU)),
        )
        self.transform = nn.ModuleList(ConditionedResidual(4 * f, labels) for _ in range(blocks))
        draw = ToPicture(f, 3, 7)
        self.decode = nn.Sequential(
            *(nn.ConvTranspose2d(4 * f, 2 * f, 4, 2, 1, bias=False), InstanceNorm(RELU)),
            *(nn.ConvTranspose2d(2 * f, f, 4, 2, 1, bias=False), InstanceNorm(RELU)),
            *(Reflection(3), draw),
        )
        initialise(self)
        nn.init.zeros_(draw.weight)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], multiples of 4 px and 8 at least, with labels (B, A) to (B, 3, H, W), float32."""
        planes = labels[:, :, None, None].expand(-1, -1, *x.shape[2:])
        y = channels_last(self.encode(torch.cat([x, planes], 1)))  # (B, 4 f, H/4, W/4)
        for block in self.transform:
            y = block(y, labels)
        change: Tensor = self.decode(y.contiguous())
        return x + change.float()


class ClassifyingDiscriminator(nn.Module):
    """Patch scores, and the attributes that a picture shows.

    Args:
        filters: channels after the first convolution; they double with every further one, up to eight times.
        layers: halvings of the size.
        attributes: to tell.
        spectral: normalise weights by their spectral norm (Miyato et al. 2018); the paper has a gradient penalty only.
    """

    def __init__(self, filters: int, layers: int, attributes: int, spectral: bool) -> None:
        super().__init__()
        self.gain = GAIN if spectral else 1.0
        self.convs = nn.ModuleList()
        channels = 3
        for layer in range(layers):
            out = filters * min(2**layer, 8)
            self.convs.append(nn.Conv2d(channels, out, 4, 2, 1))
            channels = out
        self.score = nn.Conv2d(channels, 1, 3, 1, 1)
        self.tell = nn.Linear(channels * CELLS**2, attributes)
        if spectral:
            for conv in (*self.convs, self.score):
                spectral_norm(conv)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in [-1, 1] to scores (B, 1, h, w) and logits (B, attributes), float32."""
        for conv in self.convs:
            x = F.leaky_relu(self.gain * conv(x), SLOPE)
        scores: Tensor = self.gain * self.score(x)
        logits: Tensor = self.tell(F.adaptive_avg_pool2d(x, CELLS).flatten(1))
        return scores.float(), logits.float()


class ProjectedClassifyingDiscriminator(nn.Module):
    """The same on the features of a frozen encoder; see `Projected`.

    Args:
        encoder: frozen; no part of the state.
        filters: channels after the first convolution.
        attributes: to tell.
    """

    def __init__(self, encoder: Encoder, filters: int, attributes: int) -> None:
        super().__init__()
        self.judge = Projected(encoder, filters)
        channels = sum(encoder.style_channels().values())
        self.tell = nn.Sequential(
            nn.Linear(channels * CELLS**2, HIDDEN), nn.LeakyReLU(SLOPE), nn.Linear(HIDDEN, attributes)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in [-1, 1] to scores (B, S, h, w) and logits (B, attributes), float32."""
        seen = self.judge.seen(x)
        pooled = [F.adaptive_avg_pool2d(feature, CELLS).flatten(1) for feature in seen.values()]
        logits: Tensor = self.tell(torch.cat(pooled, 1))
        return self.judge.scores(x, seen), logits.float()
