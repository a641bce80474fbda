"""Reading inputs within limits, by the parameters and the execution plan."""

import math
from dataclasses import dataclass

from atelier.tasks.images import reader
from atelier.tasks.images.codec import ImageLimits
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.execution_plan import ExecutionPlan, chain_scales


@dataclass(frozen=True)
class InputLimits(ImageLimits):
    """Limits on one image file."""

    scale: int = 1  # of the outputs, which `max_pixels` of the parameters limits
    whole: bool = False  # whether it is painted in one piece

    @property
    def pixel_limit(self) -> str:
        """The limit in words, with the remedy."""
        why = " for a model that cannot paint in tiles" if self.whole else ""
        larger = f" where outputs are {self.scale} × as high and as wide" if self.scale != 1 else ""
        return f"{super().pixel_limit}{why}{larger}: --size makes it smaller"


def limits_for(config: StylizeConfig, *plans: ExecutionPlan) -> InputLimits:
    """The limits on inputs of a job. Memory limits the pixels of what is painted at full size without tiles.

    Args:
        config: parameters.
        plans: of each model of the chain.
    """
    scales = list(chain_scales(plans))
    scale = math.prod(plan.scale for plan in plans)
    pixels = config.max_pixels // max((before * plan.scale) ** 2 for plan, before in scales)
    most = min(
        (plan.whole_pixels // before**2 for plan, before in scales if not (plan.tile_px or plan.reference_px)),
        default=pixels,
    )
    return InputLimits(config.max_bytes, min(pixels, most), scale=scale, whole=most < pixels)


def input_size(config: StylizeConfig, scale: int) -> int | None:
    """Longest side to which inputs are shrunk, px, so that outputs, `scale` times as large, have the config's size."""
    return None if config.size is None else max(1, config.size // scale)


def read_image(data: bytes, limits: InputLimits, format: str, config: StylizeConfig) -> reader.DecodedImage:
    """Decode an input for an output of a format. Raises BadImage with the reason."""
    size, frames, salvage = input_size(config, limits.scale), config.max_frames, config.salvage
    return reader.read(data, limits, format, size=size, max_frames=frames, salvage=salvage)
