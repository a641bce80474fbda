"""Prefetching: its order and its bounds."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from atelier.tasks.bulk.prefetch import CHUNK, PREFETCH, PREFETCH_BYTES, chunks, prefetch


def test_chunks_are_neighbours_of_a_limited_size() -> None:
    assert list(chunks([3, 4, 3, 9, 1, 30, 1], lambda n: n, 10)) == [[3, 4, 3], [9, 1], [30], [1]]
    assert [len(some) for some in chunks(range(40), lambda n: 0, 10)] == [CHUNK, CHUNK, 40 - 2 * CHUNK]
    assert list(chunks([], len, 10)) == []


def test_results_are_prefetched_in_order_and_not_far() -> None:
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
        stream = prefetch(threads, do, singly(), lambda _: 0)
        assert next(stream) == 0
        assert len(taken) == PREFETCH + 1, "few wait to be painted"
        assert list(stream) == [-item for item in range(1, 50)]
        runs = (list(range(n, n + CHUNK)) for n in range(0, 5 * CHUNK, CHUNK))
        in_chunks = prefetch(threads, do, runs, lambda _: 0)
        done.clear()
        assert next(in_chunks) == 0
        assert [next(in_chunks) for _ in range(CHUNK - 1)] == [-item for item in range(1, CHUNK)]
    assert sorted(done) == list(range(2 * CHUNK)), "the next chunk is read while one is painted, no more"


def test_large_results_wait_for_budget_and_a_consumer_that_stops_leaves_no_thread_waiting() -> None:
    begun: list[int] = []

    def do(item: int) -> int:
        begun.append(item)
        return item

    runs = (list(range(n, n + CHUNK)) for n in range(0, 10 * CHUNK, CHUNK))
    with ThreadPoolExecutor(3) as threads:
        stream = prefetch(threads, do, runs, lambda _: PREFETCH_BYTES + 1)
        for taken in range(CHUNK):
            assert next(stream) == taken
            assert len(begun) <= taken + 1 + 3, "no more than there are threads"
        stream.close()
    assert sorted(begun) == list(range(2 * CHUNK)), "what was begun is finished"
