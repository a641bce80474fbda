"""Ordered, bounded prefetching in threads: chunks of up to 16 items within a byte budget."""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from itertools import count
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

PREFETCH = 4  # results computed in advance, where chunks are not larger
PREFETCH_BYTES = 2**25  # memory of the waiting results above which no further item starts
CHUNK = 16  # items of a chunk, at most


def chunks(items: Iterable[T], size: Callable[[T], int], max_bytes: int) -> Iterator[list[T]]:
    """Split items into runs of up to `CHUNK` items and `max_bytes`; a larger item is a chunk of its own.

    Other work on a core evicts the caches that inference uses. Chunks make such switches rare.
    """
    chunk: list[T] = []
    held = 0
    for item in items:
        each = size(item)
        if chunk and (len(chunk) == CHUNK or held + each > max_bytes):
            yield chunk
            chunk, held = [], 0
        chunk.append(item)
        held += each
    if chunk:
        yield chunk


def prefetch(
    threads: Executor, work: Callable[[T], R], chunks: Iterable[Sequence[T]], size: Callable[[R], int]
) -> Iterator[R]:
    """Results of `work` in the order of the items, computed a chunk or `PREFETCH` items in advance.

    Args:
        threads: pool that runs `work`.
        work: the function.
        chunks: of items; the items of a chunk start together.
        size: bytes of a result. While the waiting results hold more than `PREFETCH_BYTES`, no further item starts.
    """
    begun: deque[Future[R]] = deque()
    budget = ByteBudget(PREFETCH_BYTES)

    def run(turn: int, item: T) -> R:
        budget.acquire(turn)
        result = work(item)
        budget.add(size(result))
        return result

    def take() -> R:
        result = begun.popleft().result()
        budget.add(-size(result))
        return result

    turns = count()
    try:
        for chunk in chunks:
            begun.extend(threads.submit(run, next(turns), item) for item in chunk)
            while len(begun) > max(PREFETCH, len(chunk)):
                yield take()
        while begun:
            yield take()
    finally:
        budget.lift()  # a consumer that stops early leaves no thread waiting


class ByteBudget:
    """Admits threads in the order of their turns, while the held bytes are within the budget.

    Args:
        max_bytes: the budget; a thread that is admitted below it may add any number of bytes.
    """

    def __init__(self, max_bytes: float) -> None:
        self.max_bytes, self.held, self.turn = max_bytes, 0, 0
        self.changed = threading.Condition()

    def acquire(self, turn: int) -> None:
        """Wait for the turn, and until the held bytes are within the budget."""
        with self.changed:
            self.changed.wait_for(lambda: self.turn == turn and self.held <= self.max_bytes)
            self.turn += 1
            self.changed.notify_all()

    def add(self, bytes: int) -> None:
        """Change the held bytes by this many."""
        with self.changed:
            self.held += bytes
            self.changed.notify_all()

    def lift(self) -> None:
        """Remove the limit: all waiting threads are admitted, still in turn."""
        with self.changed:
            self.max_bytes = math.inf
            self.changed.notify_all()
