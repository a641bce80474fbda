"""Cancelling a run in Prefect does what Ctrl-C does: work in progress is finished or undone, and state is written.

Prefect ends the processes of runs that its own workers started. A flow that a command runs has to ask by itself.
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

POLL_S = 2.0


class Cancelled(Exception):  # noqa: N818 (a request, not an error)
    """This flow run was cancelled in Prefect."""


@contextmanager
def cancellable() -> Iterator[None]:
    """A block in a flow that ends soon after the run is cancelled in Prefect.

    Raises:
        Cancelled: it was; the block was left as by Ctrl-C.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    run, ended, cancelled = context.flow_run.id, threading.Event(), threading.Event()

    def watch() -> None:
        with get_client(sync_client=True) as client:
            while not ended.wait(POLL_S):
                try:
                    state = client.read_flow_run(run).state
                except (httpx.HTTPError, PrefectException):
                    continue  # ask again
                if state is not None and (state.is_cancelling() or state.is_cancelled()):
                    cancelled.set()
                    os.kill(os.getpid(), signal.SIGINT)
                    return

    watcher = threading.Thread(target=watch, name="cancellation", daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if cancelled.is_set():
            raise Cancelled from interrupt
        raise
    finally:
        ended.set()
        watcher.join()
