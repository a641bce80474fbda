"""Cancelling a run in Prefect does what Ctrl-C does: what is in hand is finished or undone, and the books are closed.

Prefect cancels what its own workers started by ending their processes. A flow that a command runs has to look itself.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

LOOK_EVERY_S = 2.0


class Cancelled(Exception):  # noqa: N818 (it is somebody's wish, not an error)
    """Somebody cancelled this flow run."""


@contextmanager
def cancellable() -> Iterator[None]:
    """A block in a flow that ends soon after the run is cancelled in Prefect.

    Raises:
        Cancelled: it was, and the block has been left as by Ctrl-C.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    run, over, cancelled = context.flow_run.id, threading.Event(), threading.Event()

    def look() -> None:
        with get_client(sync_client=True) as client:
            while not over.wait(LOOK_EVERY_S):
                try:
                    state = client.read_flow_run(run).state
                except (httpx.HTTPError, PrefectException):
                    continue  # a server that does not answer cancels nothing
                if state is not None and (state.is_cancelling() or state.is_cancelled()):
                    cancelled.set()
                    os.kill(os.getpid(), signal.SIGINT)
                    return

    watcher = threading.Thread(target=look, name="cancellation", daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if cancelled.is_set():
            raise Cancelled from interrupt
        raise
    finally:
        over.set()
        watcher.join()
