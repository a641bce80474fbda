"""tint: one colour matrix that moves the mean and the spread of each channel to those of the style.

Reinhard et al. 2001, "Color Transfer between Images": equations 10 and 11 match means and standard deviations per
channel. What differs: sRGB instead of lαβ, and one matrix for the whole domain, found by gradient descent.

With this package installed, `train.method: tint` in params.yaml trains it; `atelier params train.tint` prints its
settings.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from atelier.models.configs.base import MethodConfig, OptimizerConfig
from atelier.models.encoders.base import Encoder
from atelier.models.methods.base import Method, MicroBatch, autocast
from atelier.models.settings import setting, setting_of


@dataclass(frozen=True)
class TintConfig(MethodConfig):
    """Loss weights of tint."""

    name: ClassVar[str] = "tint"

    mean_weight: float = setting(1.0, "weight of the channels' means", ge=0)
    spread_weight: float = setting(1.0, "weight of the channels' spreads", ge=0)
    optimizer: OptimizerConfig = setting_of(lambda: OptimizerConfig(generator_lr=0.05), "how the weights are updated")


class Tint(Method):
    """The training method; see the module."""

    Config: ClassVar[type[TintConfig]] = TintConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {"generator": ("generator",)}

    def __init__(self, config: TintConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self.generator = self.build_generator(config, type(encoder)).to(device)
        self.modules = {"generator": self.generator}
        self.weights = {"mean": config.mean_weight, "spread": config.spread_weight}

    @staticmethod
    def build_generator(config: TintConfig, encoder: type[Encoder] | None) -> nn.Module:
        """(B, 3, H, W) in [-1, 1] to the same; it begins as the identity."""
        generator = nn.Conv2d(3, 3, kernel_size=1)
        assert generator.bias is not None  # it is asked for by default
        nn.init.dirac_(generator.weight)
        nn.init.zeros_(generator.bias)
        return generator

    def losses(self, turn: str, batch: MicroBatch) -> Iterator[dict[str, Tensor]]:
        """See `Method.losses`: squared distances of the channels' means and standard deviations."""
        with autocast(self.device, self.dtype):
            painted = self.generator(batch.content).float()
        yield {
            "mean": (painted.mean((0, 2, 3)) - batch.style.mean((0, 2, 3))).square().sum(),
            "spread": (painted.std((0, 2, 3)) - batch.style.std((0, 2, 3))).square().sum(),
        }
