"""Settings of the methods that fill holes: inpaint."""

from dataclasses import dataclass
from typing import ClassVar

from atelier.models.configs.base import MethodConfig, OptimizerConfig
from atelier.models.settings import setting, setting_of


@dataclass(frozen=True)
class InpaintConfig(MethodConfig):
    """Network of inpaint."""

    name: ClassVar[str] = "inpaint"
    controls: ClassVar[tuple[str, ...]] = ("fill", "remove", "found_by", "insert")
    fills: ClassVar[bool] = True
    strokes: ClassVar[bool] = False  # it continues what is there, at the size that it has

    filters: int = setting(32, "channels at a quarter of the picture's size", ge=4, le=256)
    width: int = setting(64, "channels at an eighth", ge=8, le=1024)
    blocks: int = setting(7, "dilated convolutions there", ge=1, le=32)
    optimizer: OptimizerConfig = setting_of(
        lambda: OptimizerConfig(generator_lr=2e-3, beta1=0.9, beta2=0.99), "how the weights are updated"
    )

    @property
    def multiple(self) -> int:
        """See `MethodConfig.multiple`: it halves three times."""
        return 8
