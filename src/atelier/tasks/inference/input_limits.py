"""Reading inputs within limits, by the parameters and the execution plan."""

from dataclasses import dataclass

from atelier.tasks.images import reader
from atelier.tasks.images.codec import ImageLimits
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.execution_plan import ExecutionPlan


@dataclass(frozen=True)
class InputLimits(ImageLimits):
    """Limits on one image file."""

    whole: bool = False  # whether it is painted in one piece

    @property
    def pixel_limit(self) -> str:
        """The limit in words, with the remedy."""
        why = " for a model that cannot paint in tiles" if self.whole else ""
        return f"{super().pixel_limit}{why}: --size makes it smaller"


def limits_for(config: StylizeConfig, plan: ExecutionPlan) -> InputLimits:
    """The limits on inputs of a job. Memory limits the pixels of what is painted at full size without tiles."""
    if plan.tile_px or plan.reference_px or config.max_pixels <= plan.whole_pixels:
        return InputLimits(config.max_bytes, config.max_pixels)
    return InputLimits(config.max_bytes, plan.whole_pixels, whole=True)


def read_image(data: bytes, limits: ImageLimits, format: str, config: StylizeConfig) -> reader.DecodedImage:
    """Decode an input for an output of a format. Raises BadImage with the reason."""
    frames, salvage = config.max_frames, config.salvage
    return reader.read(data, limits, format, size=config.size, max_frames=frames, salvage=salvage)
