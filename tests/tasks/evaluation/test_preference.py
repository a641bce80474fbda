"""Blind pairs: fair, reproducible, and counted as they were answered."""

import itertools
import math
from collections import Counter

import pytest
from scipy.stats import binomtest

from atelier.tasks.evaluation.preference import arrange, count, read_answers, read_key, sheet_id, write_key

PICTURES = [f"{index}.jpg" for index in range(40)]


def test_two_painters_are_on_each_side_equally_often_and_each_picture_is_shown_once() -> None:
    pairs = arrange(PICTURES, ["ours", "theirs"], 30, seed=1)
    assert [pair.number for pair in pairs] == list(range(1, 31))
    assert Counter(pair.left for pair in pairs) == {"ours": 15, "theirs": 15}
    assert len({pair.picture for pair in pairs}) == 30
    assert pairs == arrange(PICTURES, ["ours", "theirs"], 30, seed=1)
    other = arrange(PICTURES, ["ours", "theirs"], 30, seed=2)
    assert [pair.left for pair in other] != [pair.left for pair in pairs], "nobody can guess the sides"
    runs = sum(a.left != b.left for a, b in itertools.pairwise(pairs))
    assert 5 < runs < 25, "the sides neither alternate nor stay"


def test_every_two_of_several_painters_meet_as_often_and_never_twice_on_a_picture() -> None:
    pairs = arrange(PICTURES[:7], ["a", "b", "c"], 100, seed=0)
    met = Counter(frozenset((pair.left, pair.right)) for pair in pairs)
    assert set(met.values()) == {7}
    assert len({(frozenset((pair.left, pair.right)), pair.picture) for pair in pairs}) == 21
    with pytest.raises(ValueError, match="two painters"):
        arrange(PICTURES, ["a"], 3, 0)


def test_answers_are_counted_with_the_key() -> None:
    """Whoever answers by painter wins by as much, on whichever side it was."""
    pairs = read_key(write_key(arrange(PICTURES, ["ours", "theirs"], 30, seed=1)))
    wishes = ["ours"] * 18 + ["theirs"] * 7 + [""] * 3  # 2 pairs are left out
    lines = [f"sheet {sheet_id(pairs)}", "# judged at noon", ""]
    for pair, wish in zip(pairs, wishes, strict=False):
        lines.append(f"{pair.number} {'same' if not wish else 'left' if pair.left == wish else 'right'}")
    (found,) = count(pairs, read_answers("\n".join(lines), pairs))
    assert (found.first, found.wins, found.losses, found.ties) == ("ours", 18, 7, 3)
    expected = binomtest(18, 25)
    interval = expected.proportion_ci(method="wilson")
    assert (found.share, found.low, found.high) == pytest.approx((18 / 25, interval.low, interval.high), abs=1e-6)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.sentence.startswith("ours: 18 wins, 7 losses, 3 ties against theirs: 72% of what was decided")


def test_without_a_decision_nothing_is_claimed() -> None:
    pairs = arrange(PICTURES, ["ours", "theirs"], 2, seed=1)
    (found,) = count(pairs, {1: "same"})
    assert math.isnan(found.share)
    assert (found.low, found.high, found.p) == (0, 1, 1)
    assert count(pairs, {}) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 up", "'1 up' is no answer"),
        ("31 left", "'31 left' is no answer"),
        ("sheet 12345678\n1 left", "the answers are of sheet 12345678"),
        ("left", "no answer"),
    ],
)
def test_wrong_answers_are_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_answers(text, arrange(PICTURES, ["ours", "theirs"], 30, seed=1))
    assert read_answers("2: Left\n3\tSAME", arrange(PICTURES, ["a", "b"], 30, 1)) == {2: "left", 3: "same"}
