"""The discriminator: which patches of a picture look like they come from the style domain."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

GAIN = 2.0  # of each layer: Miyato et al. 2018 leave the Lipschitz constant free, and at 1 the scores hardly part


class Patches(nn.Module):
    """A score for every overlapping patch: Isola et al. 2017 ("PatchGAN"), spectrally normalised, Miyato et al. 2018.

    Args:
        filters: channels after the first convolution; they double with every further one.
        layers: halvings of the size; 3 see patches of 46 positions, 1 patches of 10.
    """

    def __init__(self, channels: int, filters: int, layers: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        for layer in range(layers):
            self.convs.append(spectral_norm(nn.Conv2d(channels, filters * 2**layer, 4, 2, 1)))
            channels = filters * 2**layer
        self.score = spectral_norm(nn.Conv2d(channels, 1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, 1, h, w).

        Raises:
            ValueError: it is too small for a single patch.
        """
        least = 2 ** (len(self.convs) + 1)
        if min(x.shape[2:]) < least:
            raise ValueError(
                f"the discriminator sees {x.shape[2]}×{x.shape[3]} positions and needs {least} a side: "
                "train with larger pictures (augment.size_px), or another encoder"
            )
        for conv in self.convs:
            x = F.leaky_relu(GAIN * conv(x), 0.2)
        scores: Tensor = GAIN * self.score(x)
        return scores


def in_units(features: Mapping[str, Tensor], energies: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Features (B, C, h, w) by layer in units of a root mean square, whose square is the energy (C,) of a channel.

    Features without an energy are left out.
    """
    return {layer: features[layer] * torch.rsqrt(energy + 1e-6)[:, None, None] for layer, energy in energies.items()}


class Discriminator(nn.Module):
    """Scores patches of the picture itself and of what a frozen encoder sees in it.

    Features that already know textures make a discriminator learn from few pictures in few steps: Sauer et al. 2021,
    "Projected GANs Converge Faster".

    Args:
        filters: of the first convolution, for pixels and features alike.
        layers: halvings of the picture; features are halved once.
    """

    def __init__(self, channels: Mapping[str, int], filters: int, layers: int) -> None:
        super().__init__()
        self.pixels = Patches(3, filters, layers)
        self.features = nn.ModuleDict({layer: Patches(size, filters, 1) for layer, size in channels.items()})

    def forward(self, images: Tensor, features: Mapping[str, Tensor]) -> list[Tensor]:
        """Patch scores of each scale, (B, 1, h, w) float32; higher is more like the style domain.

        Args:
            images: (B, 3, H, W) in [-1, 1].
            features: by layer, (B, C, h, w), about unit size.
        """
        scores = [self.pixels(images), *(head(features[layer]) for layer, head in self.features.items())]
        return [scale.float() for scale in scores]
