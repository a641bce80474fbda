"""The image pool: generated images of earlier steps for the discriminator, which dampens oscillation.

Shrivastava et al. 2017, "Learning from Simulated and Unsupervised Images", section 2.3; Zhu et al. 2017, section 4.
"""

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """The last painted pictures, on the device, as a part of every checkpoint. All ranks hold the same.

    Args:
        size: pictures that are kept; 0 keeps none and shows the new ones.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("pictures", torch.empty(0))
        self.pictures: Tensor

    def replace(self, new: Tensor, draws: Tensor, step: int) -> Tensor:
        """What the discriminator sees instead of new pictures: half of the time older ones, which make room for them.

        Args:
            new: (B, 3, H, W), the global batch in the order of its places.
            draws: (B, 2) uniform in [0, 1).
            step: index of the step, from 0: until the pool is full, all are kept and shown.

        Returns:
            (B, 3, H, W).
        """
        if not self.size:
            return new
        if not self.pictures.numel():
            self.pictures = new.new_zeros(self.size, *new.shape[1:])
        filled, shown = step * len(new), new.clone()
        for index, (older, place) in enumerate(draws.tolist()):
            if filled + index < self.size:
                self.pictures[filled + index] = new[index]
            elif older < 0.5:
                slot = int(place * self.size)
                shown[index] = self.pictures[slot]
                self.pictures[slot] = new[index]
        return shown

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *arguments: object) -> None:
        # its size is known with the first picture
        if f"{prefix}pictures" in state_dict:
            self.pictures = torch.empty_like(state_dict[f"{prefix}pictures"], device=self.pictures.device)
        super()._load_from_state_dict(state_dict, prefix, *arguments)
