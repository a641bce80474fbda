"""Data-parallel training: the part of a batch on each rank, and sums over ranks."""

from collections.abc import Sequence

import torch
from torch import Tensor


def rank_places(rank: int, world_size: int, batch_size: int) -> range:
    """The positions of the global batch on a rank; each position is on exactly one rank.

    The batch size does not depend on the number of ranks, so the parts may differ in size.

    Raises:
        ValueError: there are more ranks than positions.
    """
    if world_size > batch_size:
        raise ValueError(f"batch_size {batch_size} is too small for {world_size} workers: each needs a picture")
    return range(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)


def world_size() -> int:
    """Number of ranks, 1 without torch.distributed."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def rank() -> int:
    """Rank of this process, 0 without torch.distributed."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def all_reduce(value: Tensor) -> Tensor:
    """The sum over all ranks, in place."""
    if world_size() > 1:
        torch.distributed.all_reduce(value)
    return value


def all_reduce_together(values: Sequence[Tensor]) -> list[Tensor]:
    """Sums over all ranks of several tensors, in one message, which saves latency."""
    flat = all_reduce(torch.cat([value.flatten() for value in values]))
    parts = torch.split(flat, [value.numel() for value in values])
    return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]


def all_gather(own: Tensor, first: int, batch_size: int) -> Tensor:
    """The tensor of the global batch, on every rank.

    Args:
        own: (b, …) of this rank.
        first: position of its first row in the global batch.
    """
    if len(own) == batch_size:
        return own
    batch = own.new_zeros(batch_size, *own.shape[1:])
    batch[first : first + len(own)] = own
    return all_reduce(batch)
