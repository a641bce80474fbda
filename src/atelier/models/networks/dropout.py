"""Dropout with random numbers that are functions of (seed, step, position), so that resuming repeats them."""

from collections.abc import Callable

from torch import Tensor, nn

Draws = Callable[[int, int], Tensor]  # of numbers a picture and a salt to (b, numbers) in [0, 1)


class ChannelDropout(nn.Module):
    """Leaves out whole channels and scales up the others: Tompson et al. 2015, "SpatialDropout", section 3.2.

    Args:
        probability: of a channel to be left out, 0…1.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.draws: Draws | None = None  # None at inference: no dropout
        self.salt = 0

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same; further images repeat the random numbers of the first."""
        if not self.probability or self.draws is None:
            return x
        keep = (self.draws(x.shape[1], self.salt) >= self.probability).to(x.device, x.dtype)  # (b, C)
        keep = keep.repeat(len(x) // len(keep), 1)[:, :, None, None]
        return x * keep / (1 - self.probability)


def draw_from(network: nn.Module, draws: Draws, salt: int) -> None:
    """Give every dropout of a network its own random numbers.

    Args:
        network: any.
        draws: such as `MicroBatch.uniform`.
        salt: of the first dropout; the others count on.
    """
    for index, module in enumerate(m for m in network.modules() if isinstance(m, ChannelDropout)):
        module.draws, module.salt = draws, salt + index
