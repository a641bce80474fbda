"""Random numbers that are functions of (seed, step, place): no worker, no accumulation and no resume changes them."""

import numpy as np
import torch
from torch import Tensor


def uniform(seed: int, step: int, first: int, count: int, numbers: int, salt: int) -> Tensor:
    """Random numbers of one use, for the pictures at consecutive places of the global batch.

    Args:
        seed: of the training.
        step: of the training, from 0.
        first: place in the global batch of the first picture.
        count: pictures.
        numbers: for each picture.
        salt: which use of the step this is.

    Returns:
        (count, numbers) float32 in [0, 1), on the CPU.
    """
    draws = [np.random.default_rng([seed, step, place, salt]).random(numbers) for place in range(first, first + count)]
    # rounding to float32 could reach 1
    return torch.from_numpy(np.stack(draws)).float().clamp(max=1 - 2**-24)
