"""The style-based generator: a mapping network, and a synthesis network that it controls layer by layer.

Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks"; Karras et al. 2020,
"Analyzing and Improving the Image Quality of StyleGAN": weight demodulation (section 2.2) and output skips (4.1).

The authors modulate and demodulate the weights, another set for each picture, in one grouped convolution. Here the
features are scaled, convolved with the same weights for all pictures, and scaled again: the same mathematics, of
equation 1 and 3 of the latter, and what a processor is quick at. What differs besides: resolution is doubled after
a layer's convolution, not before, a quarter of the work; the smallest features are a constant and a linear map of the
first latent, without which a short training finds one face and varies its colours; the noise of a trained model is
fixed, so that a picture is a function of its latent alone.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.gan import LEAST_PX
from atelier.models.networks.convolution import channels_last
from atelier.models.networks.dcgan import SLOPE, doublings

WIDEST = 16  # most channels, in multiples of those at full size
MAPPING_RATE = 0.1  # of the mapping network's learning rate: at 1 the latents run away


class EqualizedLinear(nn.Module):
    """A linear layer with an equalised learning rate: Karras et al. 2018, "Progressive Growing", section 4.1.

    Args:
        rate: of its learning, relative to the others'.
        bias: its first value.
    """

    def __init__(self, features: int, out: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.rate = rate
        self.weight = nn.Parameter(torch.randn(out, features) / rate)
        self.bias = nn.Parameter(torch.full((out,), bias / rate))

    def forward(self, x: Tensor) -> Tensor:
        """(B, features) to (B, out)."""
        return F.linear(x, self.weight * (self.rate / math.sqrt(self.weight.shape[1])), self.bias * self.rate)


class Mapping(nn.Module):
    """Noise, and labels where there are some, to latents w.

    Two layers and not eight: Karras et al. 2020, "Training GANs with Limited Data", appendix, take two for small sets.
    """

    def __init__(self, noise: int, latent: int, labels: int) -> None:
        super().__init__()
        self.embed = EqualizedLinear(labels, noise) if labels else None
        features = 2 * noise if labels else noise
        self.layers = nn.ModuleList(
            [EqualizedLinear(features, latent, rate=MAPPING_RATE), EqualizedLinear(latent, latent, rate=MAPPING_RATE)]
        )

    def forward(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        """(B, noise) and (B, A) to (B, latent)."""
        x = _unit(noise)
        if self.embed is not None:
            assert labels is not None
            x = torch.cat([x, _unit(self.embed(labels))], 1)
        for layer in self.layers:
            x = math.sqrt(2) * F.leaky_relu(layer(x), SLOPE)
        return x


class StyledConv(nn.Module):
    """A modulated and demodulated convolution, noise, a bias, and a leaky ReLU.

    Args:
        up: whether the size is doubled, by a bilinear filter.
    """

    def __init__(self, channels: int, out: int, latent: int, *, up: bool) -> None:
        super().__init__()
        self.up = up
        self.style = EqualizedLinear(latent, channels, bias=1.0)
        weight = torch.randn(out, channels, 3, 3)
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x: Tensor, latent: Tensor, noise: Tensor) -> Tensor:
        """(B, channels, H, W), (B, latent) and standard normal noise (B, 1, h, w) to (B, out, h, w)."""
        with torch.autocast(x.device.type, enabled=False):
            style = self.style(latent.float())  # (B, channels), s of equation 1
            # equation 3; the root of two makes up for what the leaky ReLU takes
            lengths = style.square() @ self.weight.square().sum((2, 3)).t()  # (B, out)
            demodulation = math.sqrt(2) * torch.rsqrt(lengths + 1e-8)
        x = F.conv2d(x * style.to(x.dtype)[:, :, None, None], self.weight, padding=1)
        if self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear")
        x = torch.addcmul(self.bias.to(x.dtype)[:, None, None], x, demodulation.to(x.dtype)[:, :, None, None])
        return F.leaky_relu(x + (self.noise_strength * noise).to(x.dtype), SLOPE)


class ToRgb(nn.Module):
    """A modulated 1×1 convolution to colours, without demodulation."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        self.style = EqualizedLinear(latent, channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, latent: Tensor) -> Tensor:
        """(B, channels, H, W) and (B, latent) to (B, 3, H, W), float32."""
        with torch.autocast(x.device.type, enabled=False):
            style = self.style(latent.float()) / math.sqrt(x.shape[1])
        rgb = F.conv2d(x * style.to(x.dtype)[:, :, None, None], self.weight.to(x.dtype))
        return rgb.float() + self.bias[:, None, None]


class StyleGenerator(nn.Module):
    """Mapping and synthesis.

    Args:
        noise: numbers that a picture is made from.
        latent: of w.
        filters: channels at full size; they double with every halving, up to sixteen times.
        labels: attributes of a picture that are given.
    """

    def __init__(self, noise: int, latent: int, filters: int, size: int, labels: int = 0) -> None:
        super().__init__()
        count = doublings(size)
        channels = [filters * min(2 ** (count - index), WIDEST) for index in range(count + 1)]
        self.mapping = Mapping(noise, latent, labels)
        self.constant = nn.Parameter(torch.randn(1, channels[0], LEAST_PX, LEAST_PX))
        self.start = EqualizedLinear(latent, channels[0] * LEAST_PX**2)
        self.convs = nn.ModuleList([StyledConv(channels[0], channels[0], latent, up=False)])
        self.to_rgb = nn.ModuleList([ToRgb(channels[0], latent)])
        for index in range(count):
            self.convs.append(StyledConv(channels[index], channels[index + 1], latent, up=True))
            self.convs.append(StyledConv(channels[index + 1], channels[index + 1], latent, up=False))
            self.to_rgb.append(ToRgb(channels[index + 1], latent))
        sides = [LEAST_PX * 2 ** ((layer + 1) // 2) for layer in range(self.layers)]
        self.places = [side * side for side in sides]  # of the noise of each layer
        self.register_buffer("fixed_noise", torch.randn(1, sum(self.places)))

    @property
    def layers(self) -> int:
        """Number of styled convolutions, each of which can have its own latent: 9 for 64 px."""
        return len(self.convs)

    def forward(self, latents: Sequence[Tensor] | Tensor, noise: Tensor | None = None) -> Tensor:
        """Synthesis.

        Args:
            latents: w of each layer, (layers, B, latent).
            noise: (B, sum(places)) standard normal; None takes the fixed noise.

        Returns:
            (B, 3, size, size), about [-1, 1], float32.
        """
        if noise is None:
            noise = self.get_buffer("fixed_noise")
        planes = torch.split(noise, self.places, 1)
        with torch.autocast(latents[0].device.type, enabled=False):
            start = self.start(latents[0].float()).view(-1, *self.constant.shape[1:])  # (B, C, 4, 4)
            x = channels_last(self.constant + start)
        picture = None
        for layer, (conv, plane) in enumerate(zip(self.convs, planes, strict=True)):
            side = math.isqrt(plane.shape[1])
            x = conv(x, latents[layer], plane.view(-1, 1, side, side))
            if layer % 2 == 0:  # a size is complete
                colours = self.to_rgb[layer // 2](x, latents[layer])
                if picture is not None:
                    colours = colours + F.interpolate(picture, scale_factor=2, mode="bilinear")
                picture = colours
        assert isinstance(picture, Tensor)
        return picture


def _unit(x: Tensor) -> Tensor:
    """Vectors (B, N) with a mean square of 1."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)
