"""The Prefect server and the Ray cluster of a command, with its log."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from atelier.flows.control_plane.session import use
from atelier.flows.runs.terminal import library_log, say, waiting
from atelier.tasks.runtime.progress import RECORDS
from atelier.tasks.workspace.layout import Workspace


@contextmanager
def services(workspace: Workspace | None, name: str) -> Iterator[None]:
    """A Prefect server and a Ray cluster, found or started as `session.use` does; `name` is that of the log.

    Raises:
        ConnectionError, RuntimeError: as `session.use`.
    """
    with ExitStack() as stack:
        stack.enter_context(library_log(workspace, name))
        with waiting("looking for the Prefect server and the Ray cluster, or starting them"):
            stack.enter_context(use(None if RECORDS in os.environ else say))  # the command itself has said it
        yield
