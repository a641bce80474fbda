"""Blind preference: which pairs a person judges, the key that tells who painted what, and the count of the answers.

The share of wins has the interval of Wilson 1927, "Probable Inference, the Law of Succession, and Statistical
Inference", and the exact two-sided sign test; ties count for neither side.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np

ANSWERS = ("left", "right", "same")
Z = 1.959964  # of a 95 % interval

_LINE = re.compile(r"(\d+)\W+(\w+)")


@dataclass(frozen=True)
class Pair:
    """Two paintings of one picture, side by side."""

    number: int  # from 1
    picture: str
    left: str  # the painter's name
    right: str


@dataclass(frozen=True)
class Preference:
    """The answers on one pair of painters."""

    first: str
    second: str
    wins: int  # of the first
    losses: int
    ties: int
    share: float  # of wins among the pairs that are no ties; NaN without any
    low: float  # 95 % interval of the share
    high: float
    p: float  # that a share so far from ½, or further, comes by chance

    @property
    def sentence(self) -> str:
        """The result for people."""
        words = f"{self.first}: {self.wins} wins, {self.losses} losses, {self.ties} ties against {self.second}"
        if not self.wins + self.losses:
            return words
        interval = f"{self.share:.0%} of what was decided (95 % interval {self.low:.0%} … {self.high:.0%}"
        return f"{words}: {interval}, p = {self.p:.2g})"


def arrange(pictures: Sequence[str], painters: Sequence[str], count: int, seed: int) -> list[Pair]:
    """Pairs of paintings in random order, each of another picture as long as there are any.

    Every two painters meet equally often, and each is on the left equally often, give or take one. Equal arguments
    give equal pairs.

    Raises:
        ValueError: there are fewer than two painters, or no picture.
    """
    if len(painters) < 2 or not pictures:
        raise ValueError(f"a pair needs two painters and a picture: there are {len(painters)} and {len(pictures)}")
    random = np.random.default_rng(seed)
    meetings = list(combinations(painters, 2))
    sides = [*meetings, *((second, first) for first, second in meetings)]
    most = len(pictures) * len(meetings)  # no two painters meet twice on a picture
    shown: dict[tuple[str, str], list[str]] = {}
    pairs: list[tuple[str, str, str]] = []
    order = [pictures[i] for i in random.permutation(len(pictures))]
    for index in range(min(count, most)):
        left, right = sides[index % len(sides)]
        met = shown.setdefault((min(left, right), max(left, right)), [])
        start = index % len(order)
        picture = next(one for one in order[start:] + order[:start] if one not in met)
        met.append(picture)
        pairs.append((picture, left, right))
    return [Pair(number, *pairs[i]) for number, i in enumerate(random.permutation(len(pairs)), 1)]


def sheet_id(pairs: Sequence[Pair]) -> str:
    """What a sheet, its key and its answers have in common; it tells nobody who painted what."""
    return hashlib.sha256(json.dumps([asdict(pair) for pair in pairs]).encode()).hexdigest()[:8]


def write_key(pairs: Sequence[Pair]) -> bytes:
    """The key, JSON."""
    content = {"sheet": sheet_id(pairs), "pairs": [asdict(pair) for pair in pairs]}
    return json.dumps(content, indent=2).encode() + b"\n"


def read_key(data: bytes) -> list[Pair]:
    """The pairs of a key. Raises ValueError where it is none."""
    try:
        return [Pair(**pair) for pair in json.loads(data)["pairs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError("key.json is no key of a preference sheet: write the sheet again") from error


def read_answers(text: str, pairs: Sequence[Pair]) -> dict[int, str]:
    """Answers by the number of the pair, from lines such as "7 left".

    A line "sheet ID" says which sheet was judged; empty lines and those that begin with # are left out, and so may be
    pairs.

    Raises:
        ValueError: a line is no answer, or the answers are of another sheet.
    """
    found: dict[int, str] = {}
    known = {pair.number for pair in pairs}
    for line in filter(None, (line.strip() for line in text.lower().splitlines())):
        if line.startswith("#"):
            continue
        if line.startswith("sheet"):
            if line.split()[-1] != sheet_id(pairs):
                raise ValueError(f"the answers are of sheet {line.split()[-1]}, the key is of {sheet_id(pairs)}")
            continue
        match = _LINE.fullmatch(line)
        if not match or match[2] not in ANSWERS or int(match[1]) not in known:
            raise ValueError(f"{line[:60]!r} is no answer: write a number of a pair and {', '.join(ANSWERS)}: 7 left")
        found[int(match[1])] = match[2]
    return found


def count(pairs: Sequence[Pair], answers: Mapping[int, str]) -> list[Preference]:
    """Wins, losses and ties of every two painters that met, in the order of their names in the key."""
    results: dict[tuple[str, str], list[int]] = {}
    for pair in pairs:
        if pair.number not in answers:
            continue
        first, second = sorted((pair.left, pair.right))
        score = results.setdefault((first, second), [0, 0, 0])
        answer = answers[pair.number]
        preferred = {"left": pair.left, "right": pair.right}.get(answer)
        score[2 if preferred is None else 0 if preferred == first else 1] += 1
    found = []
    for (first, second), (wins, losses, ties) in sorted(results.items()):
        found.append(Preference(first, second, wins, losses, ties, *_share(wins, wins + losses)))
    return found


def _share(wins: int, decided: int) -> tuple[float, float, float, float]:
    """The share of wins, its interval, and p of the sign test."""
    if not decided:
        return math.nan, 0.0, 1.0, 1.0
    share, z = wins / decided, Z**2 / decided
    middle, half = share + z / 2, math.sqrt(z * share * (1 - share) + z**2 / 4)
    fewer = min(wins, decided - wins)
    tail = sum(math.comb(decided, k) for k in range(fewer + 1)) / 2**decided
    return share, max(0.0, (middle - half) / (1 + z)), min(1.0, (middle + half) / (1 + z)), min(1.0, 2 * tail)
