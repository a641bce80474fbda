"""The control plane: one Prefect server and one Ray cluster, which all commands of this user share.

`up` starts both, restarts what a crash or a reboot ended, and records what it started; `down` stops exactly that.
Neither prefect nor ray is imported here: both read their environment when they are imported, and that is not set yet.
"""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from atelier.flows.control_plane import api_password, prefect_server
from atelier.flows.control_plane import database as databases
from atelier.flows.control_plane.database import Database
from atelier.flows.control_plane.prefect_server import PrefectServer, home
from atelier.tasks.runtime import cluster, ray_head
from atelier.tasks.runtime.cluster import ExternalCluster
from atelier.tasks.runtime.files import write_secret
from atelier.tasks.runtime.ray_head import RayHead
from atelier.tasks.runtime.ray_settings import CLUSTER_SETTINGS

_UP = "atelier-up-"
_USERS_TOKEN = "users-ray.token"
_BUSY_S = 30.0  # for what runs but does not answer, before it is stopped and started again: others may use it


@dataclass(frozen=True)
class ControlPlane:
    """What `atelier up` started, or the cluster that it was told to use."""

    prefect: PrefectServer
    ray: RayHead | ExternalCluster
    started: tuple[str, ...] = ()  # by this call, of "Prefect server" and "Ray cluster"

    @property
    def prefect_url(self) -> str:
        """The address of Prefect's API."""
        return self.prefect.url

    @property
    def prefect_variables(self) -> dict[str, str]:
        """The variables by which Prefect's clients find the API and are let in."""
        return {"PREFECT_API_URL": self.prefect_url} | api_password.variables(home(), self.prefect_url)

    @property
    def ui_url(self) -> str:
        """The address of Prefect's pages."""
        return self.prefect.url.removesuffix("/api")

    @property
    def ray_address(self) -> str:
        """host:port of the Ray cluster."""
        return self.ray.address

    @property
    def dashboard(self) -> str:
        """The address of Ray's dashboard, "" where `up` started none."""
        return self.ray.dashboard if isinstance(self.ray, RayHead) else ""

    @property
    def sentence(self) -> str:
        """What is up, in a line."""
        note = f"token in {self.ray.token}" if isinstance(self.ray, RayHead) else "yours: `atelier down` leaves it"
        note += f", dashboard {self.dashboard}" if self.dashboard else ""
        parts = {
            "Prefect server": f"Prefect server {self.ui_url} ({self.prefect.database})",
            "Ray cluster": f"Ray cluster {self.ray.address} ({note})",
        }
        new = [text for name, text in parts.items() if name in self.started]
        kept = [text for name, text in parts.items() if name not in self.started]
        return "; ".join(f"{state}: {', '.join(texts)}" for state, texts in (("started", new), ("up", kept)) if texts)


def up(database: str | None = None, *, dashboard: bool = False) -> ControlPlane:
    """Start a Prefect server and a Ray cluster where they are not up, for every later command to use.

    What is up stays as it is. What has ended, or does not answer for half a minute, starts again, with its database, on
    its port if that is free. Where RAY_ADDRESS names a cluster, that one is used, and only Prefect's server is started.

    Args:
        database: URL of a PostgreSQL database for a server that is started. When None, the URL in the environment;
            without one that of the server that has ended; else SQLite.
        dashboard: start Ray's dashboard too, which also takes jobs.

    Raises:
        ConnectionError: the database or the cluster that is named does not answer.
        RuntimeError: one of them did not start, and what this call started has been stopped; or another database or
            cluster is in use, or one without the dashboard that is asked for.
        ValueError: the URL of the database is not valid.
    """
    wanted = databases.wanted(database)
    theirs = _users_cluster()
    with _state_lock():
        before = recorded()
        if before:
            _check_same(before, wanted, theirs)
        server = before.prefect if before and _answers(before.prefect, _BUSY_S) else None
        ray = before.ray if before and _answers(before.ray, _BUSY_S) else None
        if dashboard and (theirs or (before and ray and not before.dashboard)):
            what = "the Ray cluster is yours" if theirs else "the Ray head is up without one: `atelier down` first"
            raise RuntimeError(f"--dashboard: {what}")
        if before and server and ray:
            return before
        if theirs and not ray:
            if token := os.environ.get("RAY_AUTH_TOKEN"):  # the file that the record names
                write_secret(home() / _USERS_TOKEN, token)
            ray = theirs
        elif before and not ray and isinstance(before.ray, ExternalCluster):
            cluster.probe(before.ray.address)  # not ours to start
        return _start_missing(before, server, ray, wanted, dashboard)


def _start_missing(
    before: ControlPlane | None,
    server: PrefectServer | None,
    ray: RayHead | ExternalCluster | None,
    wanted: Database | None,
    dashboard: bool,
) -> ControlPlane:
    """Start what is not up, server and head at the same time; if one of them does not start, stop the other."""
    folder, new_server, new_head = None, None, None
    try:
        if server is None:
            wanted = wanted or (databases.read(home()) if before else None)
            if wanted:
                wanted.check()
            databases.write(home(), wanted)
        if ray is None:
            gone = before.ray if before and isinstance(before.ray, RayHead) else None
            given = tempfile.gettempdir()  # a longer path leaves no room for the names of Ray's sockets
            folder = Path(tempfile.mkdtemp(prefix=_UP, dir=given if len(given) <= 16 else "/tmp"))
            shown = dashboard or bool(gone and gone.dashboard)
            ray = new_head = ray_head.start_head(
                home(), folder / "ray", first_port=ray_head.FIRST_PORT, dashboard=shown, instead_of=gone
            )
            if gone:
                shutil.rmtree(Path(gone.temp).parent, ignore_errors=True)
        if server is None:
            stale = before.prefect if before else None
            server = new_server = prefect_server.start(
                home() / "prefect", prefect_server.FIRST_PORT, database=wanted, instead_of=stale
            )
        # before they are ready: a call that is killed while it waits leaves a record for `down`
        _write_record(server, ray)
        if new_server:
            prefect_server.await_ready(new_server)
        if new_head and not _is_ready(new_head):
            shown, temp = bool(new_head.dashboard), Path(new_head.temp)
            ray = new_head = ray_head.start_head(
                home(), temp, first_port=ray_head.FIRST_PORT, dashboard=shown, instead_of=new_head
            )
            _write_record(server, ray)
            ray_head.await_head(new_head)
    except BaseException:
        if new_server:
            prefect_server.stop(new_server)
        if new_head:
            ray_head.stop(new_head)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        if before is None:
            _clear_record()
        raise
    started = {"Prefect server": new_server, "Ray cluster": new_head}
    return ControlPlane(server, ray, tuple(name for name, new in started.items() if new))


def _write_record(server: PrefectServer, ray: RayHead | ExternalCluster) -> None:
    record = {"prefect": asdict(server), "ray": asdict(ray)}
    write_secret(_record(), json.dumps(record, indent=2) + "\n")


def _is_ready(head: RayHead) -> bool:
    """Wait for a head; False if it ended. Ray gives itself half a minute, which on a busy machine is too short."""
    try:
        ray_head.await_head(head)
    except RuntimeError:
        if head.alive:
            raise
        return False
    return True


def _check_same(before: ControlPlane, wanted: Database | None, theirs: ExternalCluster | None) -> None:
    """Refuse another database or cluster than the one in use."""
    if wanted and wanted.name != before.prefect.database:
        raise RuntimeError(
            f"the Prefect server that is up keeps its runs in {before.prefect.database}, not in {wanted.name}: "
            "`atelier down` first"
        )
    if theirs and theirs.address != before.ray.address:
        raise RuntimeError(
            f"what is up works on the Ray cluster at {before.ray.address}, not at {theirs.address} (RAY_ADDRESS): "
            "`atelier down` first, or unset RAY_ADDRESS"
        )


def _users_cluster() -> ExternalCluster | None:
    """The cluster that RAY_ADDRESS names, if it is set."""
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return None
    cluster.probe(address)
    path = str(home() / _USERS_TOKEN) if "RAY_AUTH_TOKEN" in os.environ else os.environ.get("RAY_AUTH_TOKEN_PATH")
    settings = {name: os.environ[name] for name in CLUSTER_SETTINGS if name in os.environ}
    return ExternalCluster(address, path, settings)


def down() -> tuple[str, ...]:
    """Stop exactly what `up` started; returns what was running, of "Prefect server" and "Ray head"."""
    running = []
    with _state_lock():
        if plane := recorded():
            running += ["Prefect server"] if plane.prefect.alive else []
            prefect_server.stop(plane.prefect)
            if isinstance(plane.ray, RayHead):
                running += ["Ray head"] if plane.ray.alive else []
                ray_head.stop(plane.ray)
                shutil.rmtree(Path(plane.ray.temp).parent, ignore_errors=True)
        _clear_record()
    return tuple(running)


def status() -> ControlPlane | None:
    """What `up` started, if all of it answers; None otherwise."""
    plane = recorded()
    return plane if plane and _answers(plane.prefect) and _answers(plane.ray) else None


def recorded() -> ControlPlane | None:
    """What `up` started, whether it still runs or not."""
    try:
        content = json.loads(_record().read_text())
        ray = content["ray"]
        return ControlPlane(
            PrefectServer(**content["prefect"]), RayHead(**ray) if "pid" in ray else ExternalCluster(**ray)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _answers(part: PrefectServer | RayHead | ExternalCluster, wait_s: float = 0.0) -> bool:
    """Whether a server or cluster runs, and answers within a time."""
    deadline = time.monotonic() + wait_s
    if isinstance(part, PrefectServer) and api_password.find(home(), part.url) is None:
        return False  # of a version that asked for no password: it is started again
    while part.alive:
        if isinstance(part, PrefectServer):
            if prefect_server.healthy(part.url):
                return True
        else:
            with contextlib.suppress(ConnectionError):
                cluster.probe(part.address)
                return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.2)
    return False


def _clear_record() -> None:
    """Delete the record and the secrets beside it."""
    _record().unlink(missing_ok=True)
    (home() / _USERS_TOKEN).unlink(missing_ok=True)
    api_password.clear(home())
    databases.write(home(), None)


def _record() -> Path:
    return home() / "control-plane.json"


@contextmanager
def _state_lock() -> Iterator[None]:
    """One `up` or `down` at a time; the next one waits, and then finds what the first one did."""
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
