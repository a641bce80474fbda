"""The interface of a perceptual encoder."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    """A frozen network whose features describe content and style.

    Its forward takes pictures (B, 3, H, W) in [0, 1] and returns features by name, each (B, C, h, w).
    Gradients flow to the picture, never to the weights.
    """

    content_layer: ClassVar[str]  # the feature of the content loss
    style_layers: ClassVar[tuple[str, ...]]  # the features of the style loss

    def freeze(self) -> None:
        """Fix the weights for good."""
        self.eval()
        self.requires_grad_(False)

    def encode(self, pictures: Tensor) -> dict[str, Tensor]:
        """Features of images in the range of generators, (B, 3, H, W) in [-1, 1]."""
        features: dict[str, Tensor] = self((pictures + 1) / 2)
        return features

    def end_at(self, layer: str) -> None:
        """Drop the layers after this feature; later features are then no longer returned.

        By default all are kept: it pays where most weights are in later layers.
        """

    @classmethod
    def layout(cls) -> dict[str, tuple[int, int]]:
        """Channels and stride, px, of each feature that has positions, from shallow to deep."""
        side = 256
        with torch.device("meta"):  # no time spent on random weights
            encoder = cls()
        with torch.inference_mode():  # arithmetic is slow on "meta", see `stroke_planes`
            features: dict[str, Tensor] = encoder.to_empty(device="cpu")(torch.zeros(1, 3, side, side, device="cpu"))
        return {name: (x.shape[1], round(side / x.shape[2])) for name, x in features.items() if x.ndim == 4}

    @classmethod
    def style_channels(cls) -> dict[str, int]:
        """Channels of each style layer."""
        layout = cls.layout()
        return {layer: layout[layer][0] for layer in cls.style_layers}

    @classmethod
    def convert(cls, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Turn the published weights into this module's state dict.

        Raises:
            KeyError, RuntimeError: the weights are those of another network.
        """
        raise NotImplementedError


def fold_batch_norm(conv: Tensor, norm: Mapping[str, Tensor], eps: float) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that equals a bias-free convolution followed by a frozen BatchNorm.

    Args:
        conv: (O, I, k, k) weight.
        norm: `weight`, `bias`, `running_mean`, `running_var`, each (O,).
        eps: the norm's epsilon.
    """
    scale = norm["weight"] * torch.rsqrt(norm["running_var"] + eps)  # (O,)
    return conv * scale[:, None, None, None], norm["bias"] - norm["running_mean"] * scale
