"""A second process that watches a worker, and ends it when one of its operations takes too long.

A thread of the worker cannot do this: it stops with its process, and it waits while a decoder holds Python's lock. The
worker writes what it does into shared memory, which takes microseconds; the watch looks once a second.
"""

import mmap
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from atelier.tasks.runtime.child_environment import safe_environment

_EVERY_S = 1.0
_SLOTS = 64  # operations at the same time; further ones are not watched
_TEXT_BYTES = 1000
_HEAD = struct.Struct("<QQ")  # operations that have ended; beats of the process, one a second unless it is stopped
_SLOT = struct.Struct(f"<ddH{_TEXT_BYTES}s")  # start (s, monotonic; 0: free), limit (s), text
_BYTES = _HEAD.size + _SLOTS * _SLOT.size
_START = struct.Struct("<d")


class Operation(NamedTuple):
    """An operation that goes on."""

    text: str
    seconds: float  # since its start
    limit_s: float


class ProcessWatch:
    """The watch of this process; it ends with this process.

    Args:
        silence_s: time after which the process is killed if it is stopped.
        module: the program of the watch, which calls `watch_parent`.
        arguments: of that program.
    """

    def __init__(self, silence_s: float, module: str = __name__, *arguments: str) -> None:
        with tempfile.TemporaryFile() as file:
            file.truncate(_BYTES)
            self._memory = mmap.mmap(file.fileno(), _BYTES)
            process = subprocess.Popen(
                [sys.executable, "-m", module, str(file.fileno()), str(silence_s), *arguments],
                env=safe_environment(),
                stdin=subprocess.PIPE,  # its end tells the watch that this process has ended
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(file.fileno(),),
            )
        weakref.finalize(self, _end, process)
        self._free = deque(range(_SLOTS))
        self._finished, self._beats = 0, 0
        threading.Thread(target=self._beat, name="beat", daemon=True).start()

    @contextmanager
    def operation(self, text: str, limit_s: float) -> Iterator[None]:
        """An operation: this process is killed if it takes longer than `limit_s` seconds."""
        try:
            slot = self._free.popleft()
        except IndexError:
            yield
            return
        place = _HEAD.size + slot * _SLOT.size
        data = text.encode("utf-8", "backslashreplace")[:_TEXT_BYTES]
        _SLOT.pack_into(self._memory, place, 0.0, limit_s, len(data), data)
        _START.pack_into(self._memory, place, time.monotonic())
        try:
            yield
        finally:
            _START.pack_into(self._memory, place, 0.0)
            self._finished += 1
            self._free.append(slot)

    def _beat(self) -> None:
        while True:
            self._beats += 1
            _HEAD.pack_into(self._memory, 0, self._finished, self._beats)
            time.sleep(_EVERY_S)


def _end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin
    process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_EVERY_S)


def watch_parent(
    descriptor: int,
    silence_s: float,
    look: Callable[[int, list[Operation]], None] = lambda finished, operations: None,
    late: Callable[[list[Operation]], None] = lambda operations: None,
) -> None:
    """Watch the process that started this one until it ends: the program of a watch.

    Args:
        descriptor: of the file whose memory is shared.
        silence_s: as in `ProcessWatch`.
        look: called every second with the number of operations that have ended, and those that go on.
        late: called with those that take too long, before the process is killed; without any if the process is stopped.
    """
    parent = os.getppid()
    memory = mmap.mmap(descriptor, _BYTES, access=mmap.ACCESS_READ)
    last, silent = 0, 0  # looks are counted, not seconds: the machine may have slept
    while not select.select([sys.stdin], [], [], _EVERY_S)[0]:
        operations = _operations(memory)
        finished, beats = _HEAD.unpack_from(memory)
        last, silent = beats, silent + 1 if beats == last else 0
        look(finished, operations)
        too_long = [one for one in operations if one.seconds > one.limit_s]
        if too_long or silent * _EVERY_S > silence_s:
            late(too_long)
            if os.getppid() == parent:
                os.kill(parent, signal.SIGKILL)
            return


def _operations(memory: mmap.mmap) -> list[Operation]:
    """Operations that go on, those that began first at the front."""
    found, now = [], time.monotonic()
    for place in range(_HEAD.size, _BYTES, _SLOT.size):
        start, limit, length, data = _SLOT.unpack_from(memory, place)
        if start and _START.unpack_from(memory, place)[0] == start:  # not replaced in between
            found.append(Operation(data[:length].decode("utf-8", "replace"), now - start, limit))
    return sorted(found, key=lambda one: -one.seconds)


if __name__ == "__main__":
    watch_parent(int(sys.argv[1]), float(sys.argv[2]))
