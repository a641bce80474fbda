"""Settings of fast."""

from dataclasses import dataclass
from typing import ClassVar

from atelier.models.configs.base import MethodConfig
from atelier.models.configs.optimizer import OptimizerConfig
from atelier.models.settings import setting, setting_of


@dataclass(frozen=True)
class FastConfig(MethodConfig):
    """Network and loss weights of fast."""

    name: ClassVar[str] = "fast"

    filters: int = setting(24, "generator channels at full size; four times as many inside", ge=4, le=256)
    blocks: int = setting(4, "residual blocks of the generator", ge=1, le=32)
    content_weight: float = setting(0.75, "weight of the content loss", ge=0)
    style_weight: float = setting(10.0, "weight of the Gram style loss", ge=0)
    total_variation_weight: float = setting(0.02, "weight of total variation", ge=0)
    style_memory: float = setting(0.9, "share of earlier batches in the mean Gram of what was painted", ge=0, lt=1)
    style_images: int = setting(256, "paintings whose mean Gram matrices are the style target", ge=1)
    optimizer: OptimizerConfig = setting_of(OptimizerConfig, "how the weights are updated")
