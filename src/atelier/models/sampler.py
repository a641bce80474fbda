"""Shuffled sampling order: a function of (seed, role, epoch), without state.

Pictures lie in groups that are read whole. Each epoch the groups are shuffled, consecutive ones of them form windows
of bounded size, and the pictures are shuffled inside each window. So all that has to be in memory is a window, each
picture comes once an epoch, and a training that resumes at any step finds its place at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """Consecutive positions whose images lie in a few groups."""

    start: int  # its first position
    groups: Integers  # (G,) in the order of the epoch
    pictures: Integers  # (N, 2): group, and row in the group, of each position

    @property
    def stop(self) -> int:
        """The position after its last."""
        return self.start + len(self.pictures)


class Order:
    """The image at each position of an endless sequence of epochs.

    Args:
        seed: of the training.
        role: use of the images; roles are shuffled independently.
        sizes: pictures in each group, at least one in all.
        window: pictures in a window, at most; a larger group is a window of its own.
    """

    def __init__(self, seed: int, role: str, sizes: Sequence[int], window: int) -> None:
        self._sizes = np.asarray(sizes, np.int64)
        self.size = int(self._sizes.sum())  # of an epoch
        if not self.size:
            raise ValueError(f"there are no pictures to draw for {role}")
        self._key, self._limit = (seed, crc32(role.encode())), window
        # pure functions, cached for speed
        self._epoch = lru_cache(maxsize=8)(self._compute_epoch)
        self._window = lru_cache(maxsize=8)(self._compute_window)

    def pictures(self, positions: range) -> list[tuple[int, int]]:
        """The group of each picture at consecutive positions from 0, and its row in the group."""
        found: list[tuple[int, int]] = []
        position = positions.start
        while position < positions.stop:
            window = self.window(position)
            rows = window.pictures[position - window.start : positions.stop - window.start]
            found += [(group, row) for group, row in rows.tolist()]
            position = window.stop
        return found

    def window(self, position: int) -> Window:
        """The window that a position from 0 lies in; those of an epoch end with it."""
        epoch, place = divmod(position, self.size)
        _, firsts, _ = self._epoch(epoch)
        return self._window(epoch, int(np.searchsorted(firsts, place, "right")) - 1)

    def _compute_epoch(self, epoch: int) -> tuple[Integers, list[int], list[int]]:
        """The shuffled groups; for each window, its first place in the epoch and the index of its first group."""
        groups = np.random.default_rng((*self._key, epoch)).permutation(len(self._sizes))
        groups = groups[self._sizes[groups] > 0]
        firsts, cuts, place = [0], [0], 0
        for index, size in enumerate(self._sizes[groups].tolist()):
            if place > firsts[-1] and place + size > firsts[-1] + self._limit:
                firsts.append(place)
                cuts.append(index)
            place += size
        return groups, firsts, cuts

    def _compute_window(self, epoch: int, index: int) -> Window:
        groups, firsts, cuts = self._epoch(epoch)
        members = groups[cuts[index] : cuts[index + 1] if index + 1 < len(cuts) else None]
        sizes = self._sizes[members]
        rows = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        pictures = np.stack([np.repeat(members, sizes), rows], axis=1)
        shuffled = np.random.default_rng((*self._key, epoch, 1 + index)).permutation(pictures)
        return Window(epoch * self.size + firsts[index], members, shuffled)
