"""Settings of gatys."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from atelier.models.configs.base import MethodConfig
from atelier.models.settings import setting


@dataclass(frozen=True)
class GatysConfig(MethodConfig):
    """The optimisation that each picture goes through."""

    name: ClassVar[str] = "gatys"
    controls: ClassVar[tuple[str, ...]] = ("strength", "styles", "preserve_color", "style_weight", "steps")

    algorithm: Literal["lbfgs", "adam"] = setting("lbfgs", "how a picture is optimised; lbfgs needs fewer steps")
    steps: int = setting(50, "steps at each size", ge=1)
    scales: int = setting(2, "sizes painted one after the other, each twice the one before", ge=1)
    learning_rate: float = setting(0.05, "of adam; pictures are in [-1, 1]", gt=0)
    content_weight: float = setting(1.0, "weight of the content loss", ge=0)
    style_weight: float = setting(20.0, "weight of the Gram style loss", ge=0)
    total_variation_weight: float = setting(0.5, "weight of total variation", ge=0)
    style_images: int = setting(256, "paintings whose mean Gram matrices are the trained style", ge=1)
