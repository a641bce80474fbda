"""Settings of edit."""

from dataclasses import dataclass
from typing import Any, ClassVar

from atelier.models.configs.base import MethodConfig
from atelier.models.settings import setting, setting_of


@dataclass(frozen=True)
class EditConfig(MethodConfig):
    """Networks of edit: the model whose latents are moved, and what it takes to move them."""

    name: ClassVar[str] = "edit"
    controls: ClassVar[tuple[str, ...]] = ("strength", "to", "steps")
    strokes: ClassVar[bool] = False
    exclusive: ClassVar[tuple[str, ...]] = ()  # attributes of which a picture has one, as `StarganConfig` has them

    base: str = setting("", "method of the model whose latents are moved")
    base_settings: dict[str, Any] = setting_of(dict, "its settings")
    attributes: tuple[str, ...] = setting((), "attributes that can be given and taken")
    classifier_filters: int = setting(24, "channels of the classifier's first layer", ge=1, le=256)
    steps: int = setting(100, "optimisation steps in which the latents of a picture are found", ge=0, le=10_000)
    refinements: int = setting(0, "steps in which latents are moved on by the classifier's gradient", ge=0, le=10_000)
