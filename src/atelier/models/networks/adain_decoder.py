"""A decoder from an encoder's features back to pictures, its layers those of VGG-19 in reverse.

Huang & Belongie 2017, section 6: "the decoder mostly mirrors the encoder, with all pooling layers replaced by nearest
up-sampling"; reflection padding throughout, no normalisation, no activation at the end. For relu4_1 of VGG-19 and 64
filters it is the published network, whose weights `AdainDecoder.convert` takes. For other encoders the first
convolution has their channels, and there are as many stages as they halve the size.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from atelier.models.networks.reflection import Reflection

CONVOLUTIONS = (2, 2, 4)  # at full, half and quarter size, as VGG-19 has; 4 below too, but one where it begins
FAINT = 0.1  # of the last convolution's first weights


class AdainDecoder(nn.Module):
    """Features (B, channels, h, w), at least 2 positions a side, to pictures (B, 3, h · 2^n, w · 2^n).

    Pictures are sRGB, 0…1 but not clipped.

    Args:
        halvings: n, from the picture to the features.
        filters: channels at full size; they double with every halving.
    """

    def __init__(self, channels: int, halvings: int, filters: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for level in range(halvings, -1, -1):
            count = 1 if level == halvings else CONVOLUTIONS[min(level, len(CONVOLUTIONS) - 1)]
            for left in range(count - 1, -1, -1):
                out = filters * 2**level if left else filters * 2 ** (level - 1) if level else 3
                layers += [Reflection(1), nn.Conv2d(channels, out, 3), nn.ReLU()]
                channels = out
            if level:
                layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
        self.body = nn.Sequential(*layers[:-1])  # the last convolution makes the picture
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """He et al. 2015, equation 10, so that it learns from the first step on; the first pictures are nearly grey."""
        convolutions = [layer for layer in self.body if isinstance(layer, nn.Conv2d)]
        for layer in convolutions:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            layer.bias.fill_(0.5 if layer is convolutions[-1] else 0)
        convolutions[-1].weight *= FAINT

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        pictures: Tensor = self.body(features)
        return pictures

    def convert(self, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The published weights as this module's state: a numbered sequence, in order.

        Raises:
            ValueError: they are those of another network.
        """
        numbers = sorted({int(key.split(".")[0]) for key in published})
        old = [published[f"{number}.{kind}"] for number in numbers for kind in ("weight", "bias")]
        own = self.state_dict()
        if [x.shape for x in old] != [x.shape for x in own.values()]:
            raise ValueError("these weights are not of a decoder with these layers")
        return dict(zip(own, old, strict=True))
