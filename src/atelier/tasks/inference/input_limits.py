"""How large a picture may be that is to be painted."""

from dataclasses import dataclass

from atelier.tasks.images.codec import ImageLimits
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.execution_plan import ExecutionPlan


@dataclass(frozen=True)
class InputLimits(ImageLimits):
    """What one image file may cost before it is painted."""

    whole: bool = False  # whether it would be painted in one piece

    @property
    def most_pixels(self) -> str:
        """The limit in words, and what to do."""
        why = " for a model that cannot paint in tiles" if self.whole else ""
        return f"{super().most_pixels}{why}: --size makes it smaller"


def limits_for(config: StylizeConfig, plan: ExecutionPlan) -> InputLimits:
    """What an input may cost that is painted as the plan says: without tiles memory is soon at an end."""
    if plan.tile_px or config.max_pixels <= plan.whole_pixels:
        return InputLimits(config.max_bytes, config.max_pixels)
    return InputLimits(config.max_bytes, plan.whole_pixels, whole=True)
