"""Settings of color."""

from dataclasses import dataclass
from typing import ClassVar

from atelier.models.configs.base import MethodConfig
from atelier.models.settings import setting


@dataclass(frozen=True)
class ColorConfig(MethodConfig):
    """What is learned of the style."""

    name: ClassVar[str] = "color"

    bands: int = setting(4, "of the pyramid; 1 transfers the colours as a whole", ge=1, le=10)
    style_images: int = setting(256, "paintings whose mean statistics are the style", ge=1)
