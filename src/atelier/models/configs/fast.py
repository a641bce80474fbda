"""Settings of fast."""

from dataclasses import dataclass, field
from typing import ClassVar

from atelier.models.configs.base import MethodConfig
from atelier.models.configs.optimizer import OptimizerConfig


@dataclass(frozen=True)
class FastConfig(MethodConfig):
    """Network and loss weights of fast."""

    name: ClassVar[str] = "fast"

    filters: int = field(
        default=24,
        metadata={"description": "generator channels at full size; four times as many inside", "ge": 4, "le": 256},
    )
    blocks: int = field(default=4, metadata={"description": "residual blocks of the generator", "ge": 1, "le": 32})
    content_weight: float = field(default=0.75, metadata={"description": "weight of the content loss", "ge": 0})
    style_weight: float = field(default=10.0, metadata={"description": "weight of the Gram style loss", "ge": 0})
    total_variation_weight: float = field(default=0.02, metadata={"description": "weight of total variation", "ge": 0})
    style_memory: float = field(
        default=0.9,
        metadata={"description": "share of earlier batches in the mean Gram of what was painted", "ge": 0, "lt": 1},
    )
    style_images: int = field(
        default=256, metadata={"description": "paintings whose mean Gram matrices are the style target", "ge": 1}
    )
    optimizer: OptimizerConfig = field(
        default_factory=OptimizerConfig, metadata={"description": "how the weights are updated"}
    )
