"""Settings of restore."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from atelier.models.configs.base import MethodConfig, OptimizerConfig
from atelier.models.settings import setting, setting_of

Fault = Literal["blur", "dark", "noise", "jpeg"]
UNTOLD = -1.0  # in place of a σ of noise that the network is not told


@dataclass(frozen=True)
class RestoreConfig(MethodConfig):
    """Network of restore, what it repairs, and loss weights."""

    name: ClassVar[str] = "restore"
    controls: ClassVar[tuple[str, ...]] = ("strength", "noise")
    strokes: ClassVar[bool] = False
    restores: ClassVar[bool] = True

    scale: Literal[1, 2, 4] = setting(1, "times that the result is as large as its picture")
    faults: tuple[Fault, ...] = setting(
        ("noise",), "what is repaired: blur, dark, noise, jpeg; a picture of the training has one of them"
    )
    mixed: float = setting(0.0, "share of the training's pictures that have all faults", ge=0, le=1)
    noise_from: float = setting(0.0, "least noise, its σ in 8-bit values", ge=0, le=100)
    noise_to: float = setting(50.0, "most noise, its σ in 8-bit values", ge=0, le=100)
    alike: float = setting(
        0.4,
        "share of the training's pictures whose noise is alike in all colours, as after a camera's processing; half of "
        "them are grey",
        ge=0,
        le=1,
    )
    told: float = setting(
        0.5, "share of the training's pictures whose noise is told; others are restored blind", ge=0, le=1
    )
    blur_px: float = setting(12.0, "longest blur by motion, px; the σ of a Gaussian one is a sixth", ge=3, le=24)
    jpeg_quality: int = setting(10, "lowest quality of JPEG", ge=1, le=95)
    darkest: float = setting(0.05, "least light, as a share of what the picture needs", gt=0, le=1)
    filters: int = setting(64, "channels, at half the size of the picture", ge=4, le=256)
    blocks: int = setting(8, "residual blocks", ge=1, le=64)
    coarse_blocks: int = setting(
        0,
        "more of them, in the middle, at half the size with twice the channels: they see far, as blur needs",
        ge=0,
        le=64,
    )
    pixel_weight: float = setting(1.0, "weight of the distance of pixels", ge=0)
    perceptual_weight: float = setting(0.0, "weight of the distance of the encoder's features", ge=0)
    adversarial_weight: float = setting(0.0, "weight of the adversarial loss; 0 trains no discriminator", ge=0)
    discriminator_filters: int = setting(32, "discriminator channels after its first convolution", ge=4, le=256)
    optimizer: OptimizerConfig = setting_of(
        lambda: OptimizerConfig(generator_lr=1e-3, beta1=0.9, beta2=0.99, clip_norm=1.0), "how the weights are updated"
    )

    @property
    def channels(self) -> float:
        """See `MethodConfig.channels`: what does not enlarge works at half the size."""
        return self.filters / 4 if self.scale == 1 else self.filters

    @property
    def multiple(self) -> int:
        """See `MethodConfig.multiple`: what does not enlarge works at half the size, coarse blocks at half of that."""
        return max(2, self.scale) * (2 if self.coarse_blocks else 1)

    def __post_init__(self) -> None:
        """Refuse settings that leave nothing to learn, or contradict each other."""
        if not self.faults and self.scale == 1:
            raise ValueError("restore.faults is empty and restore.scale is 1: there is nothing to repair")
        if self.noise_from > self.noise_to:
            raise ValueError(f"restore.noise_from is {self.noise_from}, over noise_to, {self.noise_to}")
        if twice := [fault for fault in self.faults if self.faults.count(fault) > 1]:
            raise ValueError(f"restore.faults names {twice[0]} twice")
