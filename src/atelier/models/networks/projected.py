"""A discriminator on the features of a frozen encoder, which learns in few steps.

Sauer et al. 2021, "Projected GANs Converge Faster": features that already know textures, each with a small
discriminator of its own. What differs: the image itself is an input as well, features are not mixed with each other,
and every patch has a score, as in image translation.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.configs.base import DiscriminatorKind
from atelier.models.encoders.base import Encoder
from atelier.models.networks.discriminator import Discriminator, in_units
from atelier.models.networks.patchgan import PatchGan

LAYERS = 3  # halvings of the picture


class Projected(nn.Module):
    """Scores patches of pictures (B, 3, H, W) in [-1, 1], like `PatchGan`.

    Args:
        encoder: frozen; no part of the state.
        filters: channels after the first convolution.
    """

    def __init__(self, encoder: Encoder, filters: int) -> None:
        super().__init__()
        self.encode: Callable[[Tensor], dict[str, Tensor]] = encoder.encode
        channels = encoder.style_channels()
        self.judge = Discriminator(channels, filters, LAYERS)
        self.energy = nn.Module()  # mean square of each channel over the style domain
        for layer, size in channels.items():
            self.energy.register_buffer(layer, torch.ones(size))

    def energies(self, pictures: Tensor) -> dict[str, Tensor]:
        """Mean squares of each channel, (C,) by layer, of pictures (B, 3, H, W) in [-1, 1]."""
        features = self.encode(pictures)
        return {layer: features[layer].float().square().mean((0, 2, 3)) for layer in self.judge.features}

    def learn(self, energies: dict[str, Tensor]) -> None:
        """Set the scales of the features to these `energies` of the style domain."""
        for layer, value in self.energy.named_buffers():
            value.copy_(energies[layer])

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to scores (B, S, h, w), float32, of the image and each feature at a position.

        Where a feature has more scores than the image, some are left out, so that each view counts the same. As crops
        move with every step, all are used in time.
        """
        return self.scores(x, self.seen(x))

    def seen(self, x: Tensor) -> dict[str, Tensor]:
        """Scaled features of pictures: (B, C, h, w) by layer."""
        return in_units(self.encode(x), dict(self.energy.named_buffers()))

    def scores(self, x: Tensor, seen: dict[str, Tensor]) -> Tensor:
        """The scores of pictures with these scaled features."""
        scores = self.judge(x, seen)
        return torch.cat([F.interpolate(score, size=scores[0].shape[2:]) for score in scores], 1)


def new_discriminator(
    kind: DiscriminatorKind, filters: int, spectral: bool, encoder: Encoder, device: torch.device
) -> PatchGan | Projected:
    """A discriminator with new weights.

    Args:
        kind: which.
        filters: channels after the first convolution.
        spectral: see `PatchGan`; the other always is.
        encoder: see `Projected`.
        device: of the discriminator, and of the encoder if it is used.
    """
    network = PatchGan(filters, spectral) if kind == "patchgan" else Projected(encoder.to(device), filters)
    return network.to(device)
