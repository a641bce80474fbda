"""Codes: random numbers of a picture that have come to mean something, such as a digit or its slant.

A picture is made from standard normal numbers, and its codes are the first of them: a category by the part of the
distribution that the number falls into, a continuous code by its share of the distribution, as a uniform number. So
whatever draws, fixes or mixes those numbers does the same to codes. Nothing here needs torch.
"""

from collections.abc import Mapping, Sequence
from statistics import NormalDist

BOUND = 2.0  # of continuous codes, which are uniform in ±BOUND
_EDGE = 1e-6  # share of the distribution that is left out at either end, so that numbers are finite


def number(categories: int, value: float) -> float:
    """The standard normal number that gives a code this value; the middle of a category's part.

    Args:
        categories: how many the code has; 0 for a continuous one.
        value: a category from 0, or within ±BOUND.
    """
    share = (value + 0.5) / categories if categories else (value / BOUND + 1) / 2
    return NormalDist().inv_cdf(min(max(share, _EDGE), 1 - _EDGE))


def traversed(categories: int, count: int) -> list[float]:
    """The values of a code to show: all categories, or `count` values from one bound to the other, 2 at least."""
    return [*map(float, range(categories))] or [BOUND * (2 * place / (count - 1) - 1) for place in range(count)]


def check_codes(chosen: Mapping[int, float], codes: Sequence[int], name: str) -> None:
    """Refuse values that the codes of a model do not have.

    Args:
        chosen: values by number of the code.
        codes: the model's, see `MethodConfig.codes`.
        name: of the model.

    Raises:
        ValueError: names the code, and what there is.
    """
    if chosen and not codes:
        raise ValueError(f"{name} has no codes: train one by infogan, or leave --code out")
    for code, value in chosen.items():
        if not 0 <= code < len(codes):
            raise ValueError(f"{name} has no code {code}: it has codes 0 to {len(codes) - 1}")
        most = codes[code] - 1
        if codes[code] and not (value.is_integer() and 0 <= value <= most):
            raise ValueError(f"code {code} of {name} is a category from 0 to {most}, not {value:g}")
        if not codes[code] and not -BOUND <= value <= BOUND:
            raise ValueError(f"code {code} of {name} is a number from {-BOUND:g} to {BOUND:g}, not {value:g}")
