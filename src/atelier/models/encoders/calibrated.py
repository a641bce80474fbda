"""Encoders with LPIPS's weights: a calibrated weight of each channel's difference.

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", arXiv:1801.03924,
section 3: networks trained to classify ImageNet, and for five of their layers a weight of each channel, not negative,
fitted to human judgments (version 0.1). `atelier.models.metrics.lpips` is the metric; the features alone serve losses.
"""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from atelier.models.encoders.base import Encoder

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures in [0, 1]


class Calibrated(Encoder):
    """A plain sequence of convolutions, and heads (C,) for the features that people's judgments were fitted on."""

    judged: ClassVar[tuple[str, ...]]  # names of those features, from shallow to deep
    published: ClassVar[str]  # what the published weights call the network

    def __init__(self, convs: Mapping[str, nn.Conv2d]) -> None:
        """Put the network together.

        Args:
            convs: by the name of the feature that a ReLU makes of what each gives.
        """
        super().__init__()
        self.convs = nn.ModuleDict(convs)
        self.heads = nn.ParameterDict()
        for name in self.judged:
            self.heads[name] = nn.Parameter(convs[name].weight.new_zeros(convs[name].out_channels))

    @staticmethod
    def normalise(x: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] as the network was trained on them."""
        return (x - x.new_tensor(MEAN)[:, None, None]) / x.new_tensor(DEVIATION)[:, None, None]

    @classmethod
    def convert(cls, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From names and layouts (height, width, in, out) of Flax, in which these weights are published with heads."""
        state: dict[str, Tensor] = {}
        for index, name in enumerate(cls().convs):  # type: ignore[call-arg]  # of a class that puts its own together
            layer = f"{cls.published}.Conv_{index}"
            state[f"convs.{name}.weight"] = published[f"{layer}.kernel"].permute(3, 2, 0, 1)
            state[f"convs.{name}.bias"] = published[f"{layer}.bias"]
        for index, name in enumerate(cls.judged):
            state[f"heads.{name}"] = published[f"NetLinLayer_{index}.Conv_0.kernel"].flatten()
        return state
