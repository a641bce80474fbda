"""AlexNet with LPIPS's heads: the network that LPIPS is usually measured in.

Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", arXiv:1404.5997: the variant with
one column that Zhang et al. 2018 take.
"""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models.encoders.calibrated import Calibrated


class AlexNet(Calibrated):
    """Features `relu1` (64, about H/4), `relu2` (192, H/8), `relu3` (384), `relu4` and `relu5` (256, H/16)."""

    content_layer: ClassVar[str] = "relu3"
    style_layers: ClassVar[tuple[str, ...]] = ("relu1", "relu2", "relu3", "relu4", "relu5")
    judged: ClassVar[tuple[str, ...]] = style_layers
    published: ClassVar[str] = "AlexNet_0"

    def __init__(self) -> None:
        super().__init__(
            {
                "relu1": nn.Conv2d(3, 64, 11, stride=4, padding=2),
                "relu2": nn.Conv2d(64, 192, 5, padding=2),
                "relu3": nn.Conv2d(192, 384, 3, padding=1),
                "relu4": nn.Conv2d(384, 256, 3, padding=1),
                "relu5": nn.Conv2d(256, 256, 3, padding=1),
            }
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) in [0, 1], H and W of at least 31, to features by name."""
        x = self.normalise(x)
        features = {}
        for name, conv in self.convs.items():
            if name in ("relu2", "relu3"):
                x = F.max_pool2d(x, 3, 2)
            x = features[name] = F.relu(conv(x))
        return features
