"""Generator of adain: a frozen encoder, and a decoder from its content features back to pictures."""

import torch
from torch import Tensor, nn

from atelier.models.encoders.base import Encoder
from atelier.models.losses.moments import adain
from atelier.models.networks.adain_decoder import AdainDecoder


class AdainGenerator(nn.Module):
    """Frozen encoder, decoder, and the moments of the style domain at the content layer.

    Args:
        filters: channels of the decoder at full size.
        kind: class of the encoder.

    Raises:
        ValueError: the encoder's features are not a power of two smaller than the picture.
    """

    mean: Tensor  # (1, C, 1, 1)
    std: Tensor

    def __init__(self, filters: int, kind: type[Encoder]) -> None:
        super().__init__()
        layout = kind.layout()
        self.layer = kind.content_layer
        self.layers = tuple(layout)[: list(layout).index(self.layer) + 1]
        channels, self.stride = layout[self.layer]
        if self.stride & (self.stride - 1):
            raise ValueError(f"adain needs an encoder that halves pictures; {kind.__name__} divides by {self.stride}")
        self.encoder = kind()
        self.encoder.end_at(self.layer)
        self.encoder.freeze()
        self.decoder = AdainDecoder(channels, self.stride.bit_length() - 1, filters)
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))

    def features(self, pictures: Tensor) -> dict[str, Tensor]:
        """Features of pictures (B, 3, H, W) in [-1, 1], up to the content layer."""
        features = self.encoder.encode(pictures)
        return {layer: features[layer] for layer in self.layers}

    def decode(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) to pictures in [-1, 1], not clipped."""
        pictures: Tensor = self.decoder(features)
        return pictures * 2 - 1

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [-1, 1], multiples of `stride`, to the style of the training."""
        return self.decode(adain(self.features(x)[self.layer], self.mean, self.std))
