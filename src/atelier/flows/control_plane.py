"""The control plane: one Prefect server and one Ray head, for all commands or for a single one.

`up` starts both and remembers what it started, `down` stops exactly that. Every command works inside `use`, which takes
what the environment names, else what is up, else starts both for this command alone. Neither prefect nor ray is
imported here: both read their environment when they are imported, and `use` sets it.
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

from atelier.flows import prefect_server
from atelier.flows.prefect_server import PrefectServer, home
from atelier.tasks import cluster
from atelier.tasks.cluster import RayHead

_UP = "atelier-up-"
_PRIVATE = "atelier-run-"


@dataclass(frozen=True)
class ControlPlane:
    """What `atelier up` started."""

    prefect: PrefectServer
    ray: RayHead
    fresh: bool = False  # started by this call

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
        began = "started" if self.fresh else "up"
        return f"{began}: Prefect server {self.ui_url}, Ray cluster {self.ray.address} (token in {self.ray.token})"


@dataclass(frozen=True)
class Used:
    """What a command uses."""

    prefect_url: str | None
    ray_address: str | None
    sentence: str


def up(cpus: int | None = None) -> ControlPlane:
    """Start a Prefect server and a Ray head that every later command uses; what is up already stays.

    Args:
        cpus: logical CPUs of the Ray head; all of the machine's when None.

    Raises:
        RuntimeError: one of them did not start; nothing is left running.
    """
    with _state_lock():
        if found := status():
            return found
        _stop_recorded()
        folder = Path(tempfile.mkdtemp(prefix=_UP, dir=_short_temporary()))
        head = cluster.start_head(home(), folder / "ray", cpus=cpus)
        server: PrefectServer | None = None
        try:
            server = prefect_server.start(home() / "prefect", prefect_server.FIRST_PORT, with_me=False)
            plane = ControlPlane(server, head, fresh=True)
            # before they are ready: whoever is killed while waiting leaves a record for `down`
            temporary = _record().with_suffix(".tmp")
            temporary.write_text(json.dumps({"prefect": asdict(server), "ray": asdict(head)}, indent=2) + "\n")
            temporary.replace(_record())
            prefect_server.await_ready(server)
            cluster.await_head(head)
        except BaseException:
            if server:
                prefect_server.stop(server)
            cluster.stop(head)
            shutil.rmtree(folder, ignore_errors=True)
            _record().unlink(missing_ok=True)
            raise
        return plane


def down() -> bool:
    """Stop exactly what `up` started.

    Returns:
        Whether something was up.
    """
    with _state_lock():
        return _stop_recorded()


def status() -> ControlPlane | None:
    """What `up` started, if all of it is still there and answers."""
    plane = _recorded()
    if plane is None or not (plane.prefect.alive and plane.ray.alive):
        return None
    if not prefect_server.healthy(plane.prefect.url):
        return None
    try:
        cluster.probe(plane.ray.address)
    except ConnectionError:
        return None
    return plane


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
                variables |= cluster.environment(head.address, head.token)
                parts.append(f"the Ray cluster at {head.address} ({origin})")
        sentence = f"using {' and '.join(parts)}" if parts else "using no control plane"
        if say:
            say(sentence)
        ending.enter_context(_environment(variables))
        if ray:
            ending.enter_context(cluster.disconnecting())
        yield Used(os.environ.get("PREFECT_API_URL"), os.environ.get("RAY_ADDRESS"), sentence)


@contextmanager
def _private(prefect: bool, ray: bool) -> Iterator[tuple[PrefectServer | None, RayHead | None]]:
    """A control plane that ends with the block, or with this process."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=_PRIVATE, dir=_short_temporary()))
    with _signals_as_exceptions(), (folder / "lock").open("w") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)  # held while this process lives: see _sweep
        server: PrefectServer | None = None
        head: RayHead | None = None
        try:
            if ray:
                # away from where others look for ports at the same moment
                first = cluster.FIRST_PORT + 10 + 4 * (os.getpid() % 2000)
                head = cluster.start_head(folder, folder / "ray", first_port=first, with_me=True)
            if prefect:
                server = prefect_server.start(folder / "prefect", 0, with_me=True)
                prefect_server.await_ready(server)
            if head:
                cluster.await_head(head)
            yield server, head
        finally:
            if server:
                prefect_server.flush()
                prefect_server.stop(server)
            if head:
                cluster.stop(head)
            shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove the folders of private control planes whose process was killed: nobody holds their lock."""
    for folder in _short_temporary().glob(f"{_PRIVATE}*"):
        with contextlib.suppress(OSError), (folder / "lock").open("r+") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _recorded() -> ControlPlane | None:
    try:
        content = json.loads(_record().read_text())
        return ControlPlane(PrefectServer(**content["prefect"]), RayHead(**content["ray"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _stop_recorded() -> bool:
    plane = _recorded()
    if plane:
        was_up = plane.prefect.alive or plane.ray.alive
        prefect_server.stop(plane.prefect)
        cluster.stop(plane.ray)
        shutil.rmtree(Path(plane.ray.temp).parent, ignore_errors=True)
    _record().unlink(missing_ok=True)
    return bool(plane and was_up)


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
