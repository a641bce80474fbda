"""What a driver changes of Ray's behaviour: signals, log lines on the terminal, waiting, and the end of its cluster.

Ray writes errors of its C++ core on the terminal and into the driver's log. When its cluster is gone, it waits for a
minute and then ends the process with such lines.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from atelier.tasks.runtime.interruption import Interruption

RECONNECT = "RAY_gcs_rpc_server_reconnect_timeout_s"  # after which Ray ends the process of a driver
_RECONNECT_S = "86400"
_EVERY_S = 2.0
_REFUSED = 3  # probes in a row after which a cluster is gone
_SILENCE_S = 30.0  # of a cluster that accepts connections and does not answer
_POLL_S = 0.5


class ClusterLost(ConnectionError):  # noqa: N818 (an event, not a mistake)
    """The Ray cluster of this process has ended."""


@contextlib.contextmanager
def starting_a_driver() -> Iterator[None]:
    """A block with `ray.init`: SIGTERM keeps its handler, and Ray's core writes into its log only.

    Without a handler before, SIGTERM raises SystemExit, so that open files are closed; Ray's own dumps a stack.
    """
    os.environ.setdefault(RECONNECT, _RECONNECT_S)
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    with _core_without_terminal():
        yield
    if main:
        signal.signal(signal.SIGTERM, before if callable(before) else lambda number, frame: sys.exit(128 + number))


@contextlib.contextmanager
def _core_without_terminal() -> Iterator[None]:
    """While Ray's core opens its logs, C's standard error is /dev/null; the descriptor stays as it is."""
    libc = ctypes.CDLL(None)
    try:
        stream = ctypes.c_void_p.in_dll(libc, "stderr")
    except ValueError:  # another C library
        yield
        return
    libc.fopen.restype = ctypes.c_void_p
    before, stream.value = stream.value, libc.fopen(os.devnull.encode(), b"a")
    try:
        yield
    finally:
        stream.value = before


def lost_cluster(address: str) -> ClusterLost:
    """The error for the user when the cluster at this address has ended."""
    from ray._private.worker import _global_node

    logs = _global_node.get_logs_dir_path() if _global_node else "its folder"
    return ClusterLost(
        f"the Ray cluster at {address} has ended: start it again (`atelier up` starts its own), and the same command "
        f"continues; Ray's logs are in {logs}"
    )


def raise_when_lost(address: str, probe: Callable[[str], None]) -> None:
    """Watch the cluster that this process is connected to: its end raises ClusterLost in the main thread.

    Args:
        address: of the cluster.
        probe: raises ConnectionError where it does not answer.
    """
    import ray

    if (interruption := Interruption.prepared()) is None:
        return
    job = ray.get_runtime_context().get_job_id()

    def connected() -> bool:
        return bool(ray.is_initialized() and ray.get_runtime_context().get_job_id() == job)

    def watch() -> None:
        refused, answered = 0, time.monotonic()
        while connected():
            time.sleep(_EVERY_S)
            try:
                probe(address)
                refused, answered = 0, time.monotonic()
            except ConnectionError as error:
                refused += isinstance(error.__cause__, ConnectionRefusedError)
            if (refused >= _REFUSED or time.monotonic() - answered > _SILENCE_S) and connected():
                interruption.interrupt(lost_cluster(address))
                return

    threading.Thread(target=watch, name="cluster", daemon=True).start()


def wait_for(refs: Sequence[Any]) -> tuple[Any, list[Any]]:
    """Wait for one of some tasks; it, and the others. An error raised by a signal's handler ends the wait."""
    import ray

    while True:
        try:
            ready, waiting = ray.wait(list(refs), num_returns=1, timeout=_POLL_S)
        except SystemError as error:  # Ray wraps what a handler raises
            if error.__cause__ is None:
                raise
            raise error.__cause__ from None
        except SystemExit:  # of the handler of SIGTERM, with a status of Ray's
            raise SystemExit(128 + signal.SIGTERM) from None
        if ready:
            return ready[0], waiting
