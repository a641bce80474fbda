"""The control plane: one Prefect server and one Ray head, for all commands or for a single one.

`up` starts both, brings back what a crash or a reboot took, and remembers what it started; `down` stops exactly that.
Every command works inside `use`, which takes what the environment names, else what is up, else starts both for this
command alone. Neither prefect nor ray is imported here: both read their environment when they are imported, and `use`
sets it.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from atelier.flows.control_plane import database as databases
from atelier.flows.control_plane import prefect_server
from atelier.flows.control_plane.database import Database
from atelier.flows.control_plane.prefect_server import PrefectServer, home
from atelier.tasks.runtime import cluster, ray_head
from atelier.tasks.runtime.cluster import ExternalCluster
from atelier.tasks.runtime.files import write_secret
from atelier.tasks.runtime.ray_head import RayHead

_UP = "atelier-up-"
_PRIVATE = "atelier-run-"
_NEW = "atelier-new-"  # not yet a private one's: its lock is not held yet
_USERS_TOKEN = "users-ray.token"


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
    def ui_url(self) -> str:
        """The address of Prefect's pages."""
        return self.prefect.url.removesuffix("/api")

    @property
    def ray_address(self) -> str:
        """host:port of the Ray cluster."""
        return self.ray.address

    @property
    def sentence(self) -> str:
        """What is up, for a person."""
        said = f"token in {self.ray.token}" if isinstance(self.ray, RayHead) else "yours: `atelier down` leaves it"
        parts = {
            "Prefect server": f"Prefect server {self.ui_url} ({self.prefect.database})",
            "Ray cluster": f"Ray cluster {self.ray.address} ({said})",
        }
        told = [(begun, [parts[name] for name in parts if (name in self.started) is begun]) for begun in (True, False)]
        return "; ".join(f"{'started' if begun else 'up'}: {', '.join(which)}" for begun, which in told if which)


@dataclass(frozen=True)
class Used:
    """What a command uses."""

    prefect_url: str | None
    ray_address: str | None
    sentence: str


def up(cpus: int | None = None, database: str | None = None) -> ControlPlane:
    """See that a Prefect server and a Ray cluster are up, for every later command to use.

    What is up already stays as it is. What is gone, after a crash or a reboot, comes back with its database, on its
    port if that is free. Where RAY_ADDRESS names a cluster, that is the one, and only Prefect's server is started.

    Args:
        cpus: logical CPUs of a Ray head that is started; all of the machine's when None.
        database: URL of a PostgreSQL database for a server that is started. When None, what the environment says; then
            that of the server that is gone; then SQLite.

    Raises:
        ConnectionError: the database or the cluster that is named does not answer.
        RuntimeError: one of them did not start, and what this call started is gone again; or another database or
            cluster is in use.
        ValueError: the URL of the database is none.
    """
    wanted = databases.wanted(database)
    theirs = _users_cluster()
    with _state_lock():
        before = recorded()
        if before:
            _same(before, wanted, theirs)
        server = before.prefect if before and _serves(before.prefect) else None
        ray = before.ray if before and _works(before.ray) else None
        if before and server and ray:
            return before
        if theirs and not ray:
            _keep_token(theirs)
            ray = theirs
        elif before and not ray and isinstance(before.ray, ExternalCluster):
            cluster.probe(before.ray.address)  # not ours to start
        return _mend(before, server, ray, cpus, wanted)


def _mend(
    before: ControlPlane | None,
    server: PrefectServer | None,
    ray: RayHead | ExternalCluster | None,
    cpus: int | None,
    wanted: Database | None,
) -> ControlPlane:
    """Start what is not there, the server and the head side by side; leave nothing of it where one does not start."""
    folder: Path | None = None
    new_server: PrefectServer | None = None
    new_head: RayHead | None = None
    try:
        if server is None:
            wanted = wanted or (databases.remembered(home()) if before else None)
            if wanted:
                wanted.check()
            databases.remember(home(), wanted)
        if ray is None:
            gone = before.ray if before and isinstance(before.ray, RayHead) else None
            folder = Path(tempfile.mkdtemp(prefix=_UP, dir=_short_temporary()))
            ray = new_head = ray_head.start_head(
                home(), folder / "ray", first_port=ray_head.FIRST_PORT, cpus=cpus, instead_of=gone
            )
            if gone:
                shutil.rmtree(Path(gone.temp).parent, ignore_errors=True)
        if server is None:
            server = new_server = prefect_server.start(
                home() / "prefect",
                prefect_server.FIRST_PORT,
                with_me=False,
                database=wanted,
                instead_of=before.prefect if before else None,
            )
        # before they are ready: whoever is killed while waiting leaves a record for `down`
        record = {"prefect": asdict(server), "ray": asdict(ray)}
        write_secret(_record(), json.dumps(record, indent=2) + "\n")
        if new_server:
            prefect_server.await_ready(new_server)
        if new_head:
            ray_head.await_head(new_head)
    except BaseException:
        if new_server:
            prefect_server.stop(new_server)
        if new_head:
            ray_head.stop(new_head)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        if before is None:
            _forget()
        raise
    started = [("Prefect server", new_server), ("Ray cluster", new_head)]
    return ControlPlane(server, ray, tuple(name for name, new in started if new))


def _same(before: ControlPlane, wanted: Database | None, theirs: ExternalCluster | None) -> None:
    """See that `up` is not asked for another database or cluster than the one that is in use."""
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
    """The cluster that the environment names, if any."""
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return None
    cluster.probe(address)
    path = str(home() / _USERS_TOKEN) if "RAY_AUTH_TOKEN" in os.environ else os.environ.get("RAY_AUTH_TOKEN_PATH")
    settings = {name: os.environ[name] for name in cluster.CLUSTER_SETTINGS if name in os.environ}
    return ExternalCluster(address, path, settings)


def _keep_token(theirs: ExternalCluster) -> None:
    """Write a token that only the environment has into the file that the cluster's record names."""
    if words := os.environ.get("RAY_AUTH_TOKEN"):
        write_secret(Path(str(theirs.token)), words)


def down() -> tuple[str, ...]:
    """Stop exactly what `up` started.

    Returns:
        What was up of it.
    """
    with _state_lock():
        plane = recorded()
        running = _running(plane) if plane else ()
        if plane:
            prefect_server.stop(plane.prefect)
            if isinstance(plane.ray, RayHead):
                ray_head.stop(plane.ray)
                shutil.rmtree(Path(plane.ray.temp).parent, ignore_errors=True)
        _forget()
        return running


def _running(plane: ControlPlane) -> tuple[str, ...]:
    """What is there of what `up` started."""
    head = isinstance(plane.ray, RayHead) and plane.ray.alive
    return (*(["Prefect server"] if plane.prefect.alive else []), *(["Ray head"] if head else []))


def status() -> ControlPlane | None:
    """What `up` started, if all of it is still there and answers."""
    plane = recorded()
    return plane if plane and _serves(plane.prefect) and _works(plane.ray) else None


def recorded() -> ControlPlane | None:
    """What `up` started, whether it is still there or not."""
    try:
        content = json.loads(_record().read_text())
        ray = content["ray"]
        return ControlPlane(
            PrefectServer(**content["prefect"]), RayHead(**ray) if "pid" in ray else ExternalCluster(**ray)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _serves(server: PrefectServer) -> bool:
    return server.alive and prefect_server.healthy(server.url)


def _works(ray: RayHead | ExternalCluster) -> bool:
    if not ray.alive:
        return False
    try:
        cluster.probe(ray.address)
    except ConnectionError:
        return False
    return True


@contextmanager
def use(*, prefect: bool = True, ray: bool = True, say: Callable[[str], None] | None = None) -> Iterator[Used]:
    """A control plane for one command, in the environment of this process and its children.

    What the environment names is used and must answer; else what `atelier up` started; else a private one is started,
    and stopped when the block ends or this process does, however it ends.

    Args:
        prefect: a Prefect server is needed.
        ray: a Ray cluster is needed.
        say: told in a sentence what is used.

    Raises:
        ConnectionError: what the environment names does not answer.
        RuntimeError: a private one did not start.
    """
    named_prefect = os.environ.get("PREFECT_API_URL") if prefect else None
    named_ray = os.environ.get("RAY_ADDRESS") if ray else None
    parts = []
    if named_prefect:
        prefect_server.probe(named_prefect)
        parts.append(f"the Prefect server at {named_prefect} (PREFECT_API_URL)")
    if named_ray:
        cluster.probe(named_ray)
        parts.append(f"the Ray cluster at {named_ray} (RAY_ADDRESS)")
    wants_prefect, wants_ray = prefect and not named_prefect, ray and not named_ray
    variables: dict[str, str] = {}
    with contextlib.ExitStack() as ending:
        if wants_prefect or wants_ray:
            started = status()
            if started:
                server, head, origin = (
                    started.prefect if wants_prefect else None,
                    started.ray if wants_ray else None,
                    "atelier up",
                )
            else:
                if say:
                    say("nothing is up: starting what this command needs for itself (`atelier up` starts it for all)")
                server, head = ending.enter_context(_private(wants_prefect, wants_ray))
                origin = "this command's own"
            if server:
                variables["PREFECT_API_URL"] = server.url
                parts.append(f"the Prefect server at {server.url.removesuffix('/api')} ({origin})")
            if head:
                variables |= head.environment
                parts.append(f"the Ray cluster at {head.address} ({origin})")
        sentence = f"using {' and '.join(parts)}" if parts else "using no control plane"
        if say:
            say(sentence)
        ending.enter_context(_environment(variables))
        if ray:
            ending.enter_context(cluster.disconnect_after())
        yield Used(os.environ.get("PREFECT_API_URL"), os.environ.get("RAY_ADDRESS"), sentence)


@contextmanager
def _private(prefect: bool, ray: bool) -> Iterator[tuple[PrefectServer | None, RayHead | None]]:
    """A control plane that ends with the block, or with this process."""
    _sweep()
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=_short_temporary()))
    with _signals_as_exceptions(), (new / "lock").open("w") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)  # held while this process lives: see _sweep
        folder = new.rename(new.with_name(new.name.replace(_NEW, _PRIVATE)))
        server: PrefectServer | None = None
        head: RayHead | None = None
        try:
            if ray:
                head = ray_head.start_head(folder, folder / "ray", with_me=True)
            if prefect:
                server = prefect_server.start(folder / "prefect", prefect_server.FIRST_PRIVATE_PORT, with_me=True)
                prefect_server.await_ready(server)
            if head:
                ray_head.await_head(head)
            yield server, head
        finally:
            if server:
                prefect_server.flush()
                prefect_server.stop(server)
            if head:
                ray_head.stop(head)
            shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove the folders of private control planes whose process was killed: nobody holds their lock."""
    for folder in _short_temporary().glob(f"{_PRIVATE}*"):
        with contextlib.suppress(OSError), (folder / "lock").open("r+") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _forget() -> None:
    """Remove the record, and the secrets beside it."""
    _record().unlink(missing_ok=True)
    (home() / _USERS_TOKEN).unlink(missing_ok=True)
    databases.forget(home())


def _record() -> Path:
    return home() / "control-plane.json"


@contextmanager
def _state_lock() -> Iterator[None]:
    """One `up` or `down` at a time; the next one waits and finds what the first has done."""
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set variables of this process and its children, and put back what was there."""
    before = dict(os.environ)
    os.environ.update(variables)
    if "RAY_AUTH_TOKEN_PATH" in variables:
        os.environ.pop("RAY_AUTH_TOKEN", None)  # it would win over our file
    prefect_server.reread_settings()
    try:
        yield
    finally:
        for name in {*variables, "RAY_AUTH_TOKEN"}:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)
        prefect_server.reread_settings()


@contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """Have SIGTERM and SIGHUP unwind like Ctrl-C does, where nobody else handles them."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    changed = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in changed:
            if signal.getsignal(number) is leave:
                signal.signal(number, signal.SIG_DFL)


def _short_temporary() -> Path:
    """A folder whose path leaves room for the names of Ray's sockets."""
    given = Path(tempfile.gettempdir())
    return given if len(str(given)) <= 16 else Path("/tmp")
