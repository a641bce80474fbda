"""VGG-16 with LPIPS's heads: the loss network of Johnson et al. 2016, and of the reference implementations after it.

Simonyan & Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition", configuration D, with
the weights that classify ImageNet, and zero padding as there.
"""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.encoders.calibrated import Calibrated

STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions and channels; a max-pool between stages


class Vgg16(Calibrated):
    """Features `relu1_2` (64, H), `relu2_2` (128, H/2), `relu3_3` (256), `relu4_3` (512) and `relu5_3` (512, H/16).

    Content and style layers are those of Johnson et al. 2016, section 4.1.
    """

    content_layer: ClassVar[str] = "relu2_2"
    style_layers: ClassVar[tuple[str, ...]] = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
    judged: ClassVar[tuple[str, ...]] = (*style_layers, "relu5_3")
    published: ClassVar[str] = "VGG16_0"

    def __init__(self) -> None:
        channels, convs = 3, {}
        for stage, (count, out) in enumerate(STAGES, 1):
            for index in range(1, count + 1):
                convs[f"relu{stage}_{index}"] = nn.Conv2d(channels, out, 3, padding=1)
                channels = out
        super().__init__(convs)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) in [0, 1], H and W of at least 16, to features by name."""
        x = self.normalise(x)
        features = {}
        for name, conv in self.convs.items():
            if name.endswith("_1") and name != "relu1_1":
                x = F.max_pool2d(x, 2)
            x = F.relu(conv(x))
            if name in self.judged:
                features[name] = x
        return features

    def end_at(self, layer: str) -> None:
        """See `Encoder.end_at`."""
        names = list(self.convs)
        for name in names[names.index(layer) + 1 :]:
            del self.convs[name]
