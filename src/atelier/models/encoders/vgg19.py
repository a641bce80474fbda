"""VGG-19 features, the encoder of the style-transfer literature.

Architecture: Simonyan & Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
configuration E up to relu5_1. The weights are the normalised ones of Gatys et al. 2016 (section 2: each filter scaled
so that its mean activation over images and positions is one), with the input normalisation as a 1×1 convolution and
reflection padding, as Huang & Belongie 2017 (AdaIN) published them.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.encoders.base import Encoder

STAGES = ((2, 64), (2, 128), (4, 256), (4, 512), (1, 512))  # convolutions and channels; a max-pool between stages


class Vgg19(Encoder):
    """Features `relu1_1` (64, H) … `relu5_1` (512, H/16), named as the papers name them."""

    content_layer: ClassVar[str] = "relu4_1"
    style_layers: ClassVar[tuple[str, ...]] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

    def __init__(self) -> None:
        super().__init__()
        self.normalise = nn.Conv2d(3, 3, 1)
        channels, self.convs = 3, nn.ModuleDict()
        for stage, (count, out) in enumerate(STAGES, 1):
            for index in range(1, count + 1):
                self.convs[f"relu{stage}_{index}"] = nn.Conv2d(channels, out, 3)
                channels = out

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) in [0, 1] to features by name."""
        x = self.normalise(x)
        features = {}
        for name, conv in self.convs.items():
            if name.endswith("_1") and name != "relu1_1":
                x = F.max_pool2d(x, 2, ceil_mode=True)
            # reflection needs two pixels; a single one is repeated
            mode = "reflect" if min(x.shape[2:]) > 1 else "replicate"
            x = F.relu(conv(F.pad(x, (1, 1, 1, 1), mode=mode)))
            if name in self.style_layers:
                features[name] = x
        return features

    def end_at(self, layer: str) -> None:
        """See `Encoder.end_at`: of the 13 M weights, 3.5 M are needed up to relu4_1."""
        names = list(self.convs)
        for name in names[names.index(layer) + 1 :]:
            del self.convs[name]

    @classmethod
    def convert(cls, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The published weights are a numbered sequence, in order: the input normalisation, then the convolutions."""
        with torch.device("meta"):
            names = list(cls().state_dict())
        numbers = sorted({int(key.split(".")[0]) for key in published})
        old = [f"{number}.{kind}" for number in numbers for kind in ("weight", "bias")]
        return {new: published[key] for new, key in zip(names, old, strict=False)}
