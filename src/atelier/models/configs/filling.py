"""Settings of the methods that fill holes: inpaint."""

from dataclasses import dataclass
from typing import ClassVar

from atelier.models.configs.base import MethodConfig, OptimizerConfig
from atelier.models.settings import setting, setting_of


@dataclass(frozen=True)
class InpaintConfig(MethodConfig):
    """Network and loss weights of inpaint."""

    name: ClassVar[str] = "inpaint"
    controls: ClassVar[tuple[str, ...]] = ("fill", "remove")
    fills: ClassVar[bool] = True
    strokes: ClassVar[bool] = False  # it continues what is there, at the size that it has

    filters: int = setting(32, "channels at half the size", ge=4, le=256)
    width: int = setting(64, "channels at a quarter of the size", ge=8, le=1024)
    blocks: int = setting(7, "dilated convolutions at a quarter of the size", ge=1, le=32)
    hole_weight: float = setting(1.0, "weight of the error in the hole, a share of the smooth filling's", ge=0)
    outside_weight: float = setting(1.0, "weight of the error outside, where what is painted is not used", ge=0)
    perceptual_weight: float = setting(2.0, "weight of the distance of the encoder's features", ge=0)
    style_weight: float = setting(10.0, "weight of the distance of their Gram matrices", ge=0)
    optimizer: OptimizerConfig = setting_of(
        lambda: OptimizerConfig(generator_lr=1e-3, beta1=0.9, beta2=0.99), "how the weights are updated"
    )
