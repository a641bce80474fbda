"""The state that `atelier status` shows: servers, schedules, the last night, prod, free disk space.

The parts are asked at the same time, each with a timeout; one that does not answer is a line of the result. Neither
prefect nor ray is imported here, and nothing is started.
"""

import os
import shutil
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from atelier.flows.cli.running import Running, running_flows
from atelier.flows.cli.table import table
from atelier.flows.control_plane.plane import ControlPlane, recorded
from atelier.flows.control_plane.prefect_server import ask, home
from atelier.tasks.registry.tags import list_models, list_versions
from atelier.tasks.runtime import cluster
from atelier.tasks.runtime.errors import one_line
from atelier.tasks.runtime.ray_head import RayHead
from atelier.tasks.workspace import run_record
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.run_record import FAILED, PROD_CHANGED, REFUSED, STOPPED

_ASK_S = 2.0
_ASK_RAY_S = 10.0  # which takes a driver: a second on an idle machine, several while it works
_OF_RETRAIN = {"flows": {"name": {"any_": ["retrain"]}}}

T = TypeVar("T")


@dataclass(frozen=True)
class Server:
    """The Prefect server that commands use."""

    url: str  # of its API
    version: str | None
    database: str | None  # of a server that `atelier up` started
    problem: str = ""

    @property
    def summary(self) -> str:
        """The server in a line."""
        known = [f"version {self.version}"] if self.version else []
        words = [self.url.removesuffix("/api"), *known, *([self.database] if self.database else [])]
        return ", ".join(words) + (f": {self.problem}" if self.problem else "")


@dataclass(frozen=True)
class Cluster:
    """The Ray cluster that commands use."""

    address: str
    cpus: tuple[float, float] | None  # free and total; None if it did not answer in time
    gpus: tuple[float, float] | None
    problem: str = ""

    @property
    def summary(self) -> str:
        """The cluster in a line."""
        parts = ((self.cpus, "CPUs"), (self.gpus, "GPUs"))
        known = [f"{of[0]:g} of {of[1]:g} {unit} free" for of, unit in parts if of]
        return ", ".join([self.address, *known]) + (f": {self.problem}" if self.problem else "")


@dataclass(frozen=True)
class Schedule:
    """A deployment of `retrain`."""

    name: str
    cron: str | None
    timezone: str | None
    next: str | None  # ISO 8601
    served: bool  # whether a process waits to run it

    @property
    def summary(self) -> str:
        """The schedule in a line; the next night is in its own time zone, as the cron is."""
        zone = self.timezone or "UTC"
        when = f"{self.cron} {zone}" if self.cron else "no cron"
        following = f", next {_minute(self.next, ZoneInfo(zone))}" if self.next else ""
        return f"{self.name}: {when}{following}{'' if self.served else ', no process serves it'}"


@dataclass(frozen=True)
class LastNight:
    """The latest run of `retrain` that has ended and was not cancelled."""

    name: str
    state: str
    began: str  # ISO 8601
    seconds: float

    @property
    def summary(self) -> str:
        """The night in a line."""
        return f"{self.name}: {self.state}, {_minute(self.began)}, {self.seconds:.0f} s"


@dataclass(frozen=True)
class Disk:
    """Free space on a disk."""

    what: tuple[str, ...]  # that is stored on it
    path: str
    free_gb: float


@dataclass(frozen=True)
class Status:
    """The result of `atelier status`."""

    prefect: Server | None
    ray: Cluster | None
    schedules: tuple[Schedule, ...]
    running: tuple[Running, ...]
    last_night: LastNight | None
    last_result: str  # of the last night of this workspace, "" outside of workspaces
    prod: dict[str, str | None] | None  # version of each model that has any; None outside of workspaces
    disks: tuple[Disk, ...]
    problems: tuple[str, ...]  # parts that gave an error

    @property
    def summary(self) -> str:
        """A line for each part."""
        rows = [("prefect", self.prefect.summary)] if self.prefect else []
        rows += [("ray", self.ray.summary)] if self.ray else []
        rows += [("schedule", schedule.summary) for schedule in self.schedules]
        rows += [("running", run.summary) for run in self.running]
        rows += [("last night", self.last_night.summary)] if self.last_night else []
        rows += [("result", self.last_result)] if self.last_result else []
        rows += [("prod", f"{model} {version or 'has none'}") for model, version in (self.prod or {}).items()]
        rows += [("disk", f"{disk.free_gb:.1f} GB free for {', '.join(disk.what)}") for disk in self.disks]
        rows += [("problem", problem) for problem in self.problems]
        down = self.prefect is None and self.ray is None
        first = ["nothing of atelier's is up: start it with `atelier up`"] if down else []
        return "\n".join([*first, table(("", ""), rows)])


def collect(start: Path | None) -> Status:
    """Ask for everything, within seconds; `start` is where to look for a workspace, None the current folder."""
    plane = recorded()
    workspace = Workspace.find_or_none(start)
    problems: list[str] = []
    pool = ThreadPoolExecutor(4)
    try:
        server = pool.submit(_server, plane)
        ray = pool.submit(_cluster, plane)
        prod = pool.submit(_prod, workspace)
        found = _answer(server, "prefect", problems)
        url = found.url if found and not found.problem else None
        served = pool.submit(_schedules, url)
        going = pool.submit(running_flows, url)
        night = pool.submit(_last_night, url)
        return Status(
            found,
            _answer(ray, "ray", problems),
            _answer(served, "schedules", problems) or (),
            _answer(going, "running", problems) or (),
            _answer(night, "last night", problems),
            _last_result(workspace),
            _answer(prod, "prod", problems),
            _disks(plane, workspace),
            tuple(problems),
        )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _answer(asked: "Future[T]", part: str, problems: list[str]) -> T | None:
    try:
        return asked.result()
    except Exception as error:  # noqa: BLE001 - the other parts are shown
        problems.append(f"{part}: {one_line(error)}")
        return None


def _last_result(workspace: Workspace | None) -> str:
    night = run_record.read_record(workspace) if workspace else None
    if night is None:
        return ""
    with_reason = night.reasons and night.decision in (FAILED, STOPPED, PROD_CHANGED, REFUSED)
    why = f": {night.reasons[0]}" if with_reason else ""
    return f"{night.decision} {night.version}".strip() + f"{why} ({_minute(night.started)})"


def _server(plane: ControlPlane | None) -> Server | None:
    named = os.environ.get("PREFECT_API_URL")
    if not named and plane is None:
        return None
    url = named or (plane.prefect.url if plane else "")
    database = plane.prefect.database if plane and plane.prefect.url == url else None
    try:
        return Server(url, str(ask(url, "/admin/version", timeout_s=_ASK_S)), database)
    except (OSError, ValueError) as error:
        remedy = "start it, or unset PREFECT_API_URL" if named else "`atelier up` restarts it"
        return Server(url, None, database, f"does not answer ({error}): {remedy}")


def _cluster(plane: ControlPlane | None) -> Cluster | None:
    named = os.environ.get("RAY_ADDRESS")
    if not named and plane is None:
        return None
    address = named or (plane.ray.address if plane else "")
    ours = plane.ray if plane and plane.ray.address == address else None
    try:
        cluster.probe(address)
    except (ConnectionError, ValueError):
        remedy = "`atelier up` restarts it" if isinstance(ours, RayHead) else "start it, or unset RAY_ADDRESS"
        return Cluster(address, None, None, f"does not answer: {remedy}")
    known = cluster.query_resources(ours.environment if ours else {"RAY_ADDRESS": address}, _ASK_RAY_S)
    if known is None:
        return Cluster(address, None, None, "answers, but this machine is too busy to ask it what is free")
    return Cluster(address, known.cpus, known.gpus)


def _schedules(url: str | None) -> tuple[Schedule, ...]:
    if url is None:
        return ()
    scheduled = {"state": {"type": {"any_": ["SCHEDULED"]}}}
    found = []
    for deployment in ask(url, "/deployments/filter", _OF_RETRAIN, timeout_s=_ASK_S):
        active = [one["schedule"] for one in deployment["schedules"] if one["active"]]
        of_it = {"deployments": {"id": {"any_": [deployment["id"]]}}, "flow_runs": scheduled}
        following = _first_run(url, {**of_it, "sort": "EXPECTED_START_TIME_ASC"})
        served = deployment["status"] == "READY" and not deployment["paused"]
        when = following["expected_start_time"] if following else None
        for schedule in active or [{}]:
            found.append(Schedule(deployment["name"], schedule.get("cron"), schedule.get("timezone"), when, served))
    return tuple(found)


def _first_run(url: str, query: dict[str, Any]) -> dict[str, Any] | None:
    return next(iter(ask(url, "/flow_runs/filter", {**query, "limit": 1}, timeout_s=_ASK_S)), None)


def _last_night(url: str | None) -> LastNight | None:
    if url is None:
        return None
    # one that was dropped, because another one ran, is cancelled; one that goes on has a line of its own
    wanted = {"start_time": {"is_null_": False}, "state": {"type": {"not_any_": ["CANCELLED", "RUNNING"]}}}
    run = _first_run(url, {**_OF_RETRAIN, "flow_runs": wanted, "sort": "START_TIME_DESC"})
    if run is None:
        return None
    return LastNight(run["name"], run["state_name"], run["start_time"], round(run["estimated_run_time"], 1))


def _prod(workspace: Workspace | None) -> dict[str, str | None] | None:
    if workspace is None:
        return None
    models = {model: list_versions(workspace, model) for model in list_models(workspace)}
    return {model: next((one.version for one in known if one.stage), None) for model, known in models.items()}


def _disks(plane: ControlPlane | None, workspace: Workspace | None) -> tuple[Disk, ...]:
    """Free space for each folder that grows; folders on one disk share an entry."""
    ray = Path(plane.ray.temp) if plane and isinstance(plane.ray, RayHead) else Path(tempfile.gettempdir())
    folders = [("the workspace", workspace.root)] if workspace else []
    found: dict[int, Disk] = {}
    for what, folder in [*folders, ("Prefect's database", home()), ("Ray's files", ray)]:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        disk = there.stat().st_dev
        before = found[disk].what if disk in found else ()
        free = round(shutil.disk_usage(there).free / 1e9, 1)
        found[disk] = Disk((*before, what), found[disk].path if before else str(there), free)
    return tuple(found.values())


def _minute(when: str, zone: tzinfo | None = None) -> str:
    """A time in a zone; None is this machine's."""
    return datetime.fromisoformat(when).astimezone(zone).strftime("%Y-%m-%d %H:%M")
