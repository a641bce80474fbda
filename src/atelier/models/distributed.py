"""Several processes that train one model: who has which pictures of a batch, and how they add up what they found."""

from collections.abc import Sequence

import torch
from torch import Tensor


def places(rank: int, world_size: int, batch_size: int) -> range:
    """The places of the global batch that are a rank's; all ranks together have each place once.

    The batch is a fact of the training, the number of ranks one of the cluster: shares may be uneven.

    Raises:
        ValueError: there are more ranks than places.
    """
    if world_size > batch_size:
        raise ValueError(f"batch_size {batch_size} is too small for {world_size} workers: each needs a picture")
    return range(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)


def world() -> int:
    """How many ranks train together."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def summed(value: Tensor) -> Tensor:
    """The sum over all ranks, in place."""
    if world() > 1:
        torch.distributed.all_reduce(value)
    return value


def summed_together(values: Sequence[Tensor]) -> list[Tensor]:
    """The sums over all ranks of several tensors, in one message: many small ones would wait many times."""
    flat = summed(torch.cat([value.flatten() for value in values]))
    parts = torch.split(flat, [value.numel() for value in values])
    return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]


def gathered(own: Tensor, first: int, batch_size: int) -> Tensor:
    """A tensor of the global batch, on every rank.

    Args:
        own: (b, …) of this rank.
        first: place of its first row in the global batch.
        batch_size: rows of the global batch.
    """
    if len(own) == batch_size:
        return own
    batch = own.new_zeros(batch_size, *own.shape[1:])
    batch[first : first + len(own)] = own
    return summed(batch)
