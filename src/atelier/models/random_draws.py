"""Random numbers as functions of (seed, step, position): workers, accumulation and resuming do not change them."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from atelier.models.codes import number, traversed


def uniform(seed: int, step: int, first: int, count: int, numbers: int, salt: int) -> Tensor:
    """Random numbers of one use, for the pictures at consecutive places of the global batch.

    Args:
        first: position of the first image in the global batch.
        salt: distinguishes the uses within a step.

    Returns:
        (count, numbers) float32 in [0, 1), on the CPU.
    """
    draws = [np.random.default_rng([seed, step, place, salt]).random(numbers) for place in range(first, first + count)]
    # rounding to float32 could reach 1
    return torch.from_numpy(np.stack(draws)).float().clamp(max=1 - 2**-24)


def normal(uniform: Tensor, most: float | None = None) -> Tensor:
    """Standard normal numbers from uniform ones, by the inverse of their distribution.

    Args:
        uniform: in [0, 1), any shape.
        most: numbers are drawn from the normal distribution within ±most; the "truncation trick" of Brock et al. 2019,
            "Large Scale GAN Training", section 3.1. None cuts nothing off.

    Returns:
        float32, of the same shape; each number grows with its uniform one.
    """
    share = uniform.double().clamp(2**-32, 1 - 2**-32)
    if most is not None:
        low = torch.special.ndtr(torch.tensor(-most, dtype=torch.float64))
        share = low + share * (1 - 2 * low)
    numbers: Tensor = torch.special.ndtri(share)
    return numbers.float()


def noise(seed: int, indices: Iterable[int], numbers: int, most: float | None = None) -> Tensor:
    """What pictures are generated from, (pictures, numbers) float32: a function of the seed and of each index from 0.

    Args:
        most: see `normal`.
    """
    draws = [np.random.default_rng([seed, index]).random(numbers) for index in indices]
    return normal(torch.from_numpy(np.stack(draws)), most)


def coded_noise(
    seed: int,
    indices: Sequence[int],
    numbers: int,
    most: float | None,
    codes: Sequence[int],
    chosen: Mapping[int, float],
) -> Tensor:
    """`noise` whose first numbers are codes, see `models.codes`: these are never cut off.

    Args:
        codes: the model's, see `MethodConfig.codes`.
        chosen: values that codes have in all pictures, by number of the code.
    """
    drawn = noise(seed, indices, numbers, most)
    if codes:
        drawn[:, : len(codes)] = noise(seed, indices, len(codes))
    for code, value in chosen.items():
        drawn[:, code] = number(codes[code], value)
    return drawn


def traversals(base: Tensor, codes: Sequence[int], count: int) -> list[Tensor]:
    """For each code the same noise with its values, see `codes.traversed`: (values, numbers) each.

    Args:
        base: noise of a picture, (numbers,).
        count: values of a continuous code.
    """
    rows = []
    for code, categories in enumerate(codes):
        values = traversed(categories, count)
        row = base.repeat(len(values), 1)
        row[:, code] = torch.tensor([number(categories, value) for value in values])
        rows.append(row)
    return rows


def between(first: Tensor, last: Tensor, steps: int) -> Tensor:
    """Noise (steps, numbers) evenly along the way from one to another, (numbers,) each, with both; see `along`."""
    return along(first, last, torch.linspace(0, 1, steps))


def along(first: Tensor, last: Tensor, shares: Tensor) -> Tensor:
    """Noise (S, numbers) at some shares (S,) of the great circle from one to another, (numbers,) each.

    White 2016, "Sampling Generative Networks" (slerp). Lengths go evenly from the first's to the last's. A straight
    line would pass near the centre, where no noise lies.
    """
    lengths = first.norm(), last.norm()
    a, b = first / lengths[0], last / lengths[1]
    angle = torch.acos((a @ b).clamp(-1, 1))
    share = shares[:, None]
    # the same direction, or the opposite one, to which there is no one shortest way; or noise that truncation made 0
    if not angle.sin() >= 1e-6:
        return torch.lerp(first, last, share)
    way = (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin()
    strip: Tensor = way * torch.lerp(*lengths, share)
    return strip
