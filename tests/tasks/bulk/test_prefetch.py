"""What is done ahead, in which order and how far."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from atelier.tasks.bulk.prefetch import AHEAD, AHEAD_BYTES, HANDFUL, ahead, handfuls


def test_handfuls_are_neighbours_of_a_limited_size() -> None:
    assert list(handfuls([3, 4, 3, 9, 1, 30, 1], lambda n: n, 10)) == [[3, 4, 3], [9, 1], [30], [1]]
    assert [len(some) for some in handfuls(range(40), lambda n: 0, 10)] == [HANDFUL, HANDFUL, 40 - 2 * HANDFUL]
    assert list(handfuls([], len, 10)) == []


def test_items_are_done_ahead_in_their_order_and_not_far() -> None:
    done: list[int] = []
    lock = threading.Lock()

    def do(item: int) -> int:
        with lock:
            done.append(item)
        return -item

    def singly() -> Iterator[list[int]]:
        for item in range(50):
            taken.append(item)
            yield [item]

    taken: list[int] = []
    with ThreadPoolExecutor(3) as threads:
        stream = ahead(threads, do, singly(), lambda _: 0)
        assert next(stream) == 0
        assert len(taken) == AHEAD + 1, "few wait to be painted"
        assert list(stream) == [-item for item in range(1, 50)]
        runs = (list(range(n, n + HANDFUL)) for n in range(0, 5 * HANDFUL, HANDFUL))
        in_handfuls = ahead(threads, do, runs, lambda _: 0)
        done.clear()
        assert next(in_handfuls) == 0
        assert [next(in_handfuls) for _ in range(HANDFUL - 1)] == [-item for item in range(1, HANDFUL)]
    assert sorted(done) == list(range(2 * HANDFUL)), "the next handful is opened while one is painted, no more"


def test_large_ones_wait_for_room_and_who_stops_leaves_nobody_waiting() -> None:
    begun: list[int] = []

    def do(item: int) -> int:
        begun.append(item)
        return item

    runs = (list(range(n, n + HANDFUL)) for n in range(0, 10 * HANDFUL, HANDFUL))
    with ThreadPoolExecutor(3) as threads:
        stream = ahead(threads, do, runs, lambda _: AHEAD_BYTES + 1)
        for taken in range(HANDFUL):
            assert next(stream) == taken
            assert len(begun) <= taken + 1 + 3, "no more than there are threads"
        stream.close()
    assert sorted(begun) == list(range(2 * HANDFUL)), "what was begun is finished"
