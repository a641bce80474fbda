"""Scheduled runs of `retrain`, and `approve` on demand, as Prefect deployments that this process serves."""

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.runner import Runner
from prefect.schedules import Cron, Schedule
from prefect.types.entrypoint import EntrypointType

from atelier.flows.retrain import WORKSPACE, approve, retrain
from atelier.flows.runs.orphans import end_orphans
from atelier.flows.runs.terminal import LOG, say

APPROVAL = "-approval"  # after the workspace's name: Prefect's pages show deployments without their flows
STARTS_WITHIN_S = 60  # a run that was killed before it began holds its slot so long


def serve_schedule(root: Path, cron: str, timezone: str) -> None:
    """Serve `retrain` on a schedule, and `approve` on demand, until interrupted.

    Their runs work in this workspace: no parameter of theirs names another.

    Args:
        cron: five fields, such as "0 2 * * *".
        timezone: an IANA name, such as "Europe/Berlin".

    Raises:
        ValueError: the cron expression is not valid.
    """
    schedule = _checked(cron, timezone)
    end_orphans()  # a run that a kill left `Running` holds the only slot for five minutes
    # a run that would overlap the previous one is cancelled, so that a server that was down leaves no queue of runs
    alone = ConcurrencyLimitConfig(
        limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW, grace_period_seconds=STARTS_WITHIN_S
    )
    common: dict[str, Any] = {"concurrency_limit": alone, "entrypoint_type": EntrypointType.MODULE_PATH}
    name = _free_name(root)
    common["description"] = _description(root)
    os.environ[WORKSPACE] = str(root)  # each run is a process that has it from this one
    os.environ.pop(LOG, None)  # and has a log of its own
    nightly = retrain.to_deployment(name, schedule=schedule, parameters={}, **common)
    approval = approve.to_deployment(f"{name}{APPROVAL}", parameters={}, **common)
    # outside of a flow Prefect returns no coroutine
    assert isinstance(nightly, RunnerDeployment)
    assert isinstance(approval, RunnerDeployment)
    _delete_former_approval(root, name)
    say(f"serving retrain/{name} ({cron}, {timezone}) and approve/{name}{APPROVAL} until Ctrl-C")
    runner = _Runner(pause_on_shutdown=False)
    for deployment in (nightly, approval):
        runner.add_deployment(deployment)
    # each run is a process that reads Prefect's settings in its current folder
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError), contextlib.chdir("/"):
        asyncio.run(runner.start())
    end_orphans()  # a night ends with this process


def _checked(cron: str, timezone: str) -> Schedule:
    """The schedule. Raises ValueError with a message for people."""
    try:
        return Cron(cron, timezone=timezone)
    except ValueError as error:
        raise ValueError(
            f"--cron: {cron!r} is no schedule: give five fields, minute hour day month weekday, like '0 2 * * *' for "
            "every night at two"
        ) from error


class _Runner(Runner):
    """Prefect's runner; SIGTERM ends it as Ctrl-C does. Its own handler calls a coroutine and does not await it."""

    async def start(self, *args: Any, **kwargs: Any) -> None:
        """Serve until interrupted."""
        self._serving = asyncio.current_task()
        await super().start(*args, **kwargs)

    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        """End it, also where SIGINT is ignored, as in a process that a script started in the background."""
        assert self._serving is not None
        self._serving.get_loop().call_soon_threadsafe(self._serving.cancel)


def _description(root: Path) -> str:
    return f"The workspace {root}"


def _delete_former_approval(root: Path, name: str) -> None:
    """Delete the deployment `approve` that earlier versions called as `retrain`: nothing serves it any more."""
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectNotFound):
        found = client.read_deployment_by_name(f"{approve.name}/{name}")
        if found.description == _description(root):
            client.delete_deployment(found.id)


def _free_name(root: Path) -> str:
    """The name of the workspace's deployments: its own, with a hash of its path if another workspace has that name."""
    with get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(f"{retrain.name}/{root.name}")
        except ObjectNotFound:
            return root.name
    # earlier versions had the folder as a parameter
    taken = found.description != _description(root) and found.parameters.get("root") != str(root)
    return f"{root.name}-{hashlib.sha256(str(root).encode()).hexdigest()[:6]}" if taken else root.name
