"""A method for tests that enlarges: three convolutions and a pixel shuffle."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models.configs import CONFIGS
from atelier.models.configs.base import MethodConfig
from atelier.models.encoders.base import Encoder
from atelier.models.methods import METHODS, Method
from atelier.models.networks.local import LocalNetwork
from atelier.models.settings import setting


@dataclass(frozen=True)
class EnlargerConfig(MethodConfig):
    """Settings."""

    name: ClassVar[str] = "enlarger"
    strokes: ClassVar[bool] = False
    scale: int = setting(2, "size of the outputs")


class EnlargingNetwork(LocalNetwork):
    """Convolutions with zeros around, which differ from what is around a tile."""

    reach = 3

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        sizes = [(3, 8), (8, 8), (8, 3 * scale**2)]
        self.body = nn.Sequential(*(nn.Conv2d(*size, 3, padding=1) for size in sizes), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=float(self.scale)) + self.body(x).tanh()


class Enlarger(Method):
    """For inference only."""

    Config: ClassVar[type[EnlargerConfig]] = EnlargerConfig
    turns: ClassVar[dict[str, tuple[str, ...]]] = {}

    def __init__(self, config: EnlargerConfig, encoder: Encoder, device: torch.device, dtype: torch.dtype) -> None:
        raise ValueError("it is not trained")

    @staticmethod
    def build_generator(config: EnlargerConfig, encoder: type[Encoder] | None) -> nn.Module:
        return EnlargingNetwork(config.scale)


def make_enlarger(folder: Path, scale: int) -> Path:
    """A model folder."""
    torch.manual_seed(scale)
    artifact.save(folder, EnlargerConfig(scale), EnlargingNetwork(scale), {"dataset": "e" * 64})
    return folder


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the method known in this process."""
    monkeypatch.setitem(CONFIGS, "enlarger", EnlargerConfig)
    monkeypatch.setitem(METHODS, "enlarger", Enlarger)
