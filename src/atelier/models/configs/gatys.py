"""Settings of gatys."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from atelier.models.configs.base import MethodConfig


@dataclass(frozen=True)
class GatysConfig(MethodConfig):
    """The optimisation that each picture goes through."""

    name: ClassVar[str] = "gatys"
    controls: ClassVar[tuple[str, ...]] = ("strength", "styles", "preserve_color", "style_weight", "steps")

    algorithm: Literal["lbfgs", "adam"] = field(
        default="lbfgs", metadata={"description": "how a picture is optimised; lbfgs needs fewer steps"}
    )
    steps: int = field(default=50, metadata={"description": "steps at each size", "ge": 1})
    scales: int = field(
        default=2, metadata={"description": "sizes painted one after the other, each twice the one before", "ge": 1}
    )
    learning_rate: float = field(default=0.05, metadata={"description": "of adam; pictures are in [-1, 1]", "gt": 0})
    content_weight: float = field(default=1.0, metadata={"description": "weight of the content loss", "ge": 0})
    style_weight: float = field(default=20.0, metadata={"description": "weight of the Gram style loss", "ge": 0})
    total_variation_weight: float = field(default=0.5, metadata={"description": "weight of total variation", "ge": 0})
    style_images: int = field(
        default=256, metadata={"description": "paintings whose mean Gram matrices are the trained style", "ge": 1}
    )
