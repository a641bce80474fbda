"""The order of pictures: each once an epoch, in bounded windows, found without looking back."""

from collections import Counter

import pytest

from atelier.models.sampler import Order

SIZES = [3, 5, 4, 0, 2, 5, 1, 4]  # 24 pictures
PICTURES = Counter((group, row) for group, size in enumerate(SIZES) for row in range(size))


def epoch(order: Order, number: int) -> list[tuple[int, int]]:
    return order.pictures(range(number * order.size, (number + 1) * order.size))


@pytest.mark.parametrize("window", [1, 7, 10, 24, 1000])
def test_every_epoch_is_a_permutation_of_its_own(window: int) -> None:
    order = Order(3, "content", SIZES, window)
    epochs = [epoch(order, number) for number in range(3)]
    assert all(Counter(pictures) == PICTURES for pictures in epochs)
    assert len({tuple(pictures) for pictures in epochs}) == 3
    assert epochs[0] == epoch(Order(3, "content", SIZES, window), 0)
    assert epochs[0] != epoch(Order(4, "content", SIZES, window), 0)
    assert epochs[0] != epoch(Order(3, "style", SIZES, window), 0)


def test_windows_are_bounded_and_hold_the_pictures_of_their_positions() -> None:
    order = Order(0, "content", SIZES, 10)
    position = 0
    while position < 3 * order.size:
        window = order.window(position)
        assert window.start == position
        assert len(window.pictures) <= 10
        assert sum(SIZES[group] for group in window.groups) == window.stop - window.start
        pictures = order.pictures(range(window.start, window.stop))
        assert {group for group, _ in pictures} == set(window.groups.tolist())
        position = window.stop
    assert position == 3 * order.size, "windows end with the epoch"


def test_a_set_smaller_than_the_window_is_shuffled_whole() -> None:
    """Not group by group: any picture can come first."""
    orders = {tuple(epoch(Order(seed, "content", [2, 2], 4), 0)) for seed in range(200)}
    assert len(orders) == 4 * 3 * 2


def test_a_group_larger_than_the_window_is_one() -> None:
    order = Order(0, "content", [9, 2, 2], 4)
    lengths, position = [], 0
    while position < order.size:
        lengths.append(len(order.window(position).pictures))
        position = order.window(position).stop
    assert sorted(lengths) in ([4, 9], [2, 2, 9])


def test_any_position_is_found_at_once() -> None:
    """Whatever was asked for before, and across the borders of windows and epochs."""
    used = Order(0, "content", SIZES, 10)
    whole = used.pictures(range(3 * used.size))
    for start in range(0, len(whole) - 9, 5):
        assert Order(0, "content", SIZES, 10).pictures(range(start, start + 9)) == whole[start : start + 9]
    for start in reversed(range(len(whole) - 9)):
        assert used.pictures(range(start, start + 9)) == whole[start : start + 9]
    far = range(10**12, 10**12 + 5)
    large = [Order(0, "content", [256] * 4000, 4096).pictures(far) for _ in range(2)]
    assert large[0] == large[1]


def test_nothing_to_draw_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="no pictures to draw for style"):
        Order(0, "style", [0], 10)
