"""A discriminator of whole pictures on the stages of a frozen encoder.

Sauer et al. 2021, "Projected GANs Converge Faster", section 3.2: features of several depths are mixed across channels
and between stages by random weights that are never trained, so that no stage can be neglected, and each mixture has a
small discriminator. What differs: no BatchNorm, with which an image would depend on its neighbours, and the encoder.

It looks at pictures in two steps, `see` and `judge`: what the frozen part sees of generated pictures in the
generator's turn serves the discriminator's too.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from atelier.models.configs.gan import LEAST_PX
from atelier.models.encoders.base import Encoder
from atelier.models.networks.convolution import channels_last
from atelier.models.networks.dcgan import SLOPE, doublings
from atelier.models.networks.discriminator import GAIN, in_units

LEAST_SEEN_PX = 64  # a side: smaller pictures are enlarged, since encoders know larger ones


class StageHead(nn.Module):
    """Scores (B, 1, h, w) of one mixture of features, spectrally normalised.

    With labels, the projection of Miyato & Koyama 2018, "cGANs with Projection Discriminator", equation 4.

    Args:
        halvings: of the features' size, to about 4 positions a side.
    """

    def __init__(self, channels: int, halvings: int, labels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList([spectral_norm(nn.Conv2d(channels, channels, 3, 1, 1))])
        for _ in range(halvings):
            self.convs.append(spectral_norm(nn.Conv2d(channels, channels, 4, 2, 1)))
        self.score = spectral_norm(nn.Conv2d(channels, 1, 3, 1, 1))
        self.embed = spectral_norm(nn.Linear(labels, channels, bias=False)) if labels else None

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """(B, channels, H, W) and labels (B, A) to (B, 1, h, w), float32."""
        for conv in self.convs:
            x = F.leaky_relu(GAIN * conv(x), SLOPE)
        scores: Tensor = GAIN * self.score(x).float()
        if self.embed is not None:
            assert labels is not None
            direction = self.embed(labels).float() / math.sqrt(x.shape[1])
            scores = scores + (x.float() * direction[:, :, None, None]).sum(1, keepdim=True)
        return scores


class StageDiscriminator(nn.Module):
    """Scores of pictures by the stages of a frozen encoder, which is no part of its state.

    Args:
        size: of the pictures, px.
        channels: of every mixture.
    """

    def __init__(self, encoder: Encoder, size: int, channels: int, labels: int = 0) -> None:
        super().__init__()
        self.encode: Callable[[Tensor], dict[str, Tensor]] = encoder.encode
        self.side = max(size, LEAST_SEEN_PX)
        stages = encoder.layout()
        self.stages = [layer for layer in stages if layer in encoder.style_layers]
        self.heads = nn.ModuleList()
        self.energy = nn.Module()  # mean square of each channel over the style domain
        for index, layer in enumerate(self.stages):
            width, stride = stages[layer]
            self.energy.register_buffer(layer, torch.ones(width))
            self.register_buffer(f"across{index}", torch.randn(channels, width, 1, 1) / math.sqrt(width))
            mix = torch.randn(channels, channels, 3, 3) / math.sqrt(9 * channels)
            self.register_buffer(f"between{index}", mix.contiguous(memory_format=torch.channels_last))
            self.heads.append(StageHead(channels, max(0, doublings(self.side // stride)), labels))

    def energies(self, pictures: Tensor) -> dict[str, Tensor]:
        """Mean squares of each channel, (C,) by layer, of pictures (B, 3, H, W) in [-1, 1]."""
        features = self.encode(self._enlarged(pictures))
        return {layer: features[layer].float().square().mean((0, 2, 3)) for layer in self.stages}

    def learn(self, energies: dict[str, Tensor]) -> None:
        """Set the scales of the features to these `energies` of the style domain."""
        for layer, value in self.energy.named_buffers():
            value.copy_(energies[layer])

    def see(self, x: Tensor) -> list[Tensor]:
        """The mixtures of pictures (B, 3, size, size) in [-1, 1]: (B, channels, h, w) each, from shallow to deep.

        In float32, without autocast: rounding would tell real pictures from generated ones.
        """
        with torch.autocast(x.device.type, enabled=False):
            features = in_units(self.encode(self._enlarged(x.float())), dict(self.energy.named_buffers()))
            mixtures: list[Tensor] = []
            for index in reversed(range(len(self.stages))):
                mixed = F.conv2d(features[self.stages[index]], self.get_buffer(f"across{index}"))
                if mixtures:
                    deeper = F.interpolate(mixtures[-1], size=mixed.shape[2:], mode="bilinear")
                    mixed = (mixed + deeper) / math.sqrt(2)
                mixtures.append(F.conv2d(mixed, self.get_buffer(f"between{index}"), padding=1))
        return mixtures[::-1]

    def judge(self, seen: Sequence[Tensor], labels: Tensor | None) -> Tensor:
        """Scores (B, S), float32, higher for what is more like the style domain; each mixture counts the same."""
        scores = [head(x, labels) for head, x in zip(self.heads, seen, strict=True)]
        return torch.cat([F.adaptive_avg_pool2d(score, LEAST_PX).flatten(1) for score in scores], 1)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pictures (B, 3, size, size) in [-1, 1] to scores (B, S)."""
        return self.judge(self.see(x), labels)

    def _enlarged(self, x: Tensor) -> Tensor:
        if x.shape[2] < self.side:
            x = F.interpolate(x, size=(self.side, self.side), mode="bilinear")
        return channels_last(x)
