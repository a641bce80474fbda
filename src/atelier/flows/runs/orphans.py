"""Flow runs whose process was killed: Prefect would show them as `Running` for ever.

A flow tags its run with its process; whoever starts a flow ends the runs whose processes are gone.
"""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.states import Crashed

from atelier.tasks.runtime import processes

_TAG = "process:"
_UNENDED = FlowRunFilterState(
    type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
)
_PAGE = 200  # the most that Prefect's server returns at once


def tag_with_process(*names: str) -> None:
    """Tag the current flow run with this process, and with names like its workspace's; call it first in a flow.

    Its tasks get no tags, as they would by `prefect.tags`: Prefect asks its server for a slot of each tag of a task,
    which a SQLite database that is just written to refuses, and a refused client waits for two seconds.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    process = psutil.Process()
    mine = f"{_TAG}{socket.gethostname()}:{process.pid}:{process.create_time():.2f}"
    others = [tag for tag in context.flow_run.tags if not tag.startswith(_TAG)]
    # a flow works also without its server
    with contextlib.suppress(httpx.HTTPError, PrefectException), get_client(sync_client=True) as client:
        client.update_flow_run(context.flow_run.id, tags=[*others, *names, mine])


def end_orphans() -> list[str]:
    """Set the flow runs of this machine whose processes are gone, and the runs inside them, to crashed; their names."""
    names: list[str] = []
    with contextlib.suppress(httpx.HTTPError, PrefectException), get_client(sync_client=True) as client:
        for run in list(_unended(client)):
            if _is_gone(run):
                names += _end(client, run)
    return names


def _end(client: SyncPrefectClient, run: FlowRun) -> list[str]:
    """Set a run and its child runs, which ran in the same process, to crashed."""
    state: State[Any] = Crashed(message="its process is gone: it was killed, or the machine was")
    client.set_flow_run_state(run.id, state, force=True)
    names = [run.name]
    for child in list(_unended(client, run.id)):
        names += _end(client, child)
    return names


def _unended(client: SyncPrefectClient, parent: UUID | None = None) -> Iterator[FlowRun]:
    of = FlowRunFilterParentFlowRunId(any_=[parent]) if parent else None
    wanted, offset = FlowRunFilter(state=_UNENDED, parent_flow_run_id=of), 0
    while page := client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=offset):
        yield from page
        offset += len(page)


def _is_gone(run: FlowRun) -> bool:
    """Whether a run's tag names a process of this machine that has ended."""
    for tag in run.tags:
        if tag.startswith(_TAG):
            host, _, process = tag.removeprefix(_TAG).rpartition(":")[0].rpartition(":")
            created = tag.rpartition(":")[2]
            with contextlib.suppress(ValueError):
                return host == socket.gethostname() and not processes.is_running(int(process), float(created))
    return False
