"""Settings of color."""

from dataclasses import dataclass, field
from typing import ClassVar

from atelier.models.configs.base import MethodConfig


@dataclass(frozen=True)
class ColorConfig(MethodConfig):
    """What is learned of the style."""

    name: ClassVar[str] = "color"

    bands: int = field(
        default=4, metadata={"description": "of the pyramid; 1 transfers the colours as a whole", "ge": 1, "le": 10}
    )
    style_images: int = field(
        default=256, metadata={"description": "paintings whose mean statistics are the style", "ge": 1}
    )
