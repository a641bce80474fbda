"""Errors that another thread raises in the main thread, which may wait for something that never comes."""

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from atelier.tasks.runtime.errors import user_message

_GRACE_S = 15.0  # for the main thread to take the error; native code may never return


class Interruption:
    """The handler of the signal by which the main thread takes an error."""

    def __init__(self) -> None:
        self._pending: deque[Exception] = deque()

    @classmethod
    def prepared(cls) -> "Interruption | None":
        """The handler of this process, installed if needed; None in another thread than the main one."""
        if threading.current_thread() is not threading.main_thread():
            return None
        found = signal.getsignal(signal.SIGUSR2)
        if not isinstance(found, cls):
            signal.signal(signal.SIGUSR2, found := cls())
        return found

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise the error in the main thread."""
        if self._pending:
            raise self._pending.popleft()

    def interrupt(self, error: Exception) -> None:
        """Raise an error in the main thread; the process ends with its message if that takes no signal."""
        self._pending.append(error)
        os.kill(os.getpid(), signal.SIGUSR2)
        end = time.monotonic() + _GRACE_S
        while error in self._pending:
            if time.monotonic() > end:
                print(f"atelier: {user_message(error)}", file=sys.stderr, flush=True)
                os._exit(1)
            time.sleep(0.1)


@contextmanager
def interrupted_by(check: Callable[[], Exception | None], every_s: float) -> Iterator[None]:
    """Run a block in the main thread while a thread calls `check`; the error that it returns is raised in the block.

    In another thread the block runs without checks.
    """
    interruption, ended, deciding = Interruption.prepared(), threading.Event(), threading.Lock()
    if interruption is None:
        yield
        return

    def watch() -> None:
        while not ended.wait(every_s):
            if error := check():
                with deciding:
                    if not ended.is_set():
                        interruption.interrupt(error)
                return

    threading.Thread(target=watch, name="check", daemon=True).start()
    try:
        yield
    finally:
        with deciding:
            ended.set()
