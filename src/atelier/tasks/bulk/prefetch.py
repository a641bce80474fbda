"""Doing things in threads ahead of whoever takes the results: in their order, in handfuls, as far as there is room."""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from itertools import count
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4  # results that wait to be taken, where handfuls are not larger
AHEAD_BYTES = 2**25  # that they hold, beyond which nothing further is begun
HANDFUL = 16  # items, at most


def handfuls(items: Iterable[T], size: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """Neighbours that together are not larger than `most`, up to `HANDFUL` of them; what is larger comes alone.

    Whatever else a core does throws its painting out of the caches: it had better do that seldom, and then more of it.
    """
    some: list[T] = []
    held = 0
    for item in items:
        each = size(item)
        if some and (len(some) == HANDFUL or held + each > most):
            yield some
            some, held = [], 0
        some.append(item)
        held += each
    if some:
        yield some


def ahead(
    threads: Executor, do: Callable[[T], R], handfuls: Iterable[Sequence[T]], size: Callable[[R], int]
) -> Iterator[R]:
    """What is done with each item, in their order, a few or a handful ahead of whoever takes it.

    Args:
        threads: that do it.
        do: what is done.
        handfuls: of items, which are begun together.
        size: bytes that a result holds: while more than `AHEAD_BYTES` wait to be taken, no further item is begun.
    """
    begun: deque[Future[R]] = deque()
    room = ByteBudget(AHEAD_BYTES)

    def entered(turn: int, item: T) -> R:
        room.enter(turn)
        result = do(item)
        room.hold(size(result))
        return result

    def taken() -> R:
        result = begun.popleft().result()
        room.hold(-size(result))
        return result

    turns = count()
    try:
        for handful in handfuls:
            begun.extend(threads.submit(entered, next(turns), item) for item in handful)
            while len(begun) > max(AHEAD, len(handful)):
                yield taken()
        while begun:
            yield taken()
    finally:
        room.open()  # whoever stops taking leaves nobody waiting


class ByteBudget:
    """Lets in by turns, while what is in is not too large.

    Args:
        most: bytes; what comes in when there is less may be of any size.
    """

    def __init__(self, most: float) -> None:
        self.most, self.held, self.turn = most, 0, 0
        self.changed = threading.Condition()

    def enter(self, turn: int) -> None:
        """Wait for a turn, and for room."""
        with self.changed:
            self.changed.wait_for(lambda: self.turn == turn and self.held <= self.most)
            self.turn += 1
            self.changed.notify_all()

    def hold(self, more: int) -> None:
        """So many bytes more, or fewer, are in."""
        with self.changed:
            self.held += more
            self.changed.notify_all()

    def open(self) -> None:
        """Let in whoever waits, by turns still."""
        with self.changed:
            self.most = math.inf
            self.changed.notify_all()
