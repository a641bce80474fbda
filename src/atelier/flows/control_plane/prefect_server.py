"""The Prefect server: started, awaited, stopped, as a program of its own.

Nothing of prefect is imported here: it reads its environment when it is imported, and that is not set yet.
"""

import base64
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from atelier.flows.control_plane.database import SQLITE, Database
from atelier.tasks.runtime import cluster, processes
from atelier.tasks.runtime.ports import Ports, reserve
from atelier.tasks.runtime.processes import parent_death_signal

FIRST_PORT = 4200  # Prefect's own
FIRST_PRIVATE_PORT = 4300  # so that nobody finds a server there that is gone in a minute

_START_S = 90.0
_STOP_S = 10.0
_HEALTH_S = 10.0  # a server that listens but is busy
_PREFECT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "DO_NOT_TRACK": "1",
    "PREFECT__SERVER_FINAL": "1",
}


@dataclass(frozen=True)
class PrefectServer:
    """A Prefect server that we started."""

    url: str  # of its API
    home: str  # its log, and its database where that is a file
    pid: int
    created: float  # when the process began, seconds since the epoch
    database: str = SQLITE  # or where else, without a password

    @property
    def alive(self) -> bool:
        """Whether the process that was started is still there."""
        return processes.is_running(self.pid, self.created)


def home() -> Path:
    """The folder of what this user's control plane remembers: $ATELIER_HOME, or one in the user's state folder."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return Path(os.environ.get("ATELIER_HOME") or state / "atelier").expanduser().absolute()


def start(
    folder: Path,
    first_port: int,
    *,
    with_me: bool,
    database: Database | None = None,
    instead_of: PrefectServer | None = None,
) -> PrefectServer:
    """Start a server on the loopback interface; `await_ready` waits until it answers.

    Args:
        folder: where its log is, and its database where that is a file.
        first_port: where the search for a free port begins.
        with_me: the server ends when the calling thread does, even if that is killed.
        database: where it keeps its runs and schedules; a file of SQLite's when None.
        instead_of: a server that is gone or does not answer: it is ended, and its port taken over if that is free.
    """
    if instead_of:
        stop(instead_of)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    like = urlsplit(instead_of.url).port if instead_of else None
    with reserve("127.0.0.1", first_port, like=like) as ports:
        return _start(folder, ports, with_me, database)


def _start(folder: Path, ports: Ports, with_me: bool, database: Database | None) -> PrefectServer:
    (port,) = ports.numbers
    not_ours = ("PREFECT_", "ATELIER_DATABASE")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(not_ours)}
    variables = inherited | _PREFECT | {"PREFECT_HOME": str(folder), "PREFECT_SERVER_API_PORT": str(port)}
    file = folder / "prefect.db"
    if database:
        variables["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database.url
    elif not file.exists() and _empty_database().exists():
        shutil.copyfile(_empty_database(), file)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=ports.held,
            preexec_fn=parent_death_signal() if with_me else None,
        )
    process.returncode = 0  # it is followed by its pid from here on, also by other processes
    created = psutil.Process(process.pid).create_time()
    kept = database.name if database else SQLITE
    return PrefectServer(f"http://127.0.0.1:{port}/api", str(folder), process.pid, created, kept)


def await_ready(server: PrefectServer) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + _START_S
    while not healthy(server.url):
        if not server.alive or time.monotonic() > deadline:
            said = (Path(server.home) / "server.log").read_text(errors="replace").strip().splitlines()
            raise RuntimeError(f"the Prefect server did not start: {said[-1] if said else 'it said nothing'}")
        time.sleep(0.05)
    if server.database == SQLITE:
        _keep_empty_database(Path(server.home) / "prefect.db")


def stop(server: PrefectServer) -> None:
    """End a server that we started; its database stays."""
    if server.alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(server.pid)
            everyone = [process, *process.children(recursive=True)]
            process.terminate()
            _, remaining = psutil.wait_procs(everyone, timeout=_STOP_S)
            for one in remaining:
                one.kill()
            psutil.wait_procs(remaining, timeout=_STOP_S)


def reread_settings() -> None:
    """Have a prefect that was imported before its variables were set take them over."""
    if "prefect.context" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


def flush() -> None:
    """Send what prefect still keeps of this process's logs and events, before its server is stopped."""
    if "prefect" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        APILogWorker.drain_all(timeout=5)
        EventsWorker.drain_all(timeout=5)


def _empty_database() -> Path:
    return home() / f"prefect-{version('prefect')}.db"


def _keep_empty_database(database: Path) -> None:
    """Keep a copy of a database that was just made: to make one takes six seconds, to copy it none."""
    if _empty_database().exists():
        return
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = _empty_database().with_suffix(f".{os.getpid()}")
    with contextlib.closing(sqlite3.connect(database)) as full, contextlib.closing(sqlite3.connect(temporary)) as empty:
        runs = full.execute("SELECT count(*) FROM flow_run").fetchone()[0]
        full.backup(empty)
    if runs:
        temporary.unlink()
    else:
        temporary.replace(_empty_database())


def healthy(url: str) -> bool:
    """Whether a server of this machine answers."""
    try:
        return bool(ask(url, "/health", timeout_s=_HEALTH_S))
    except (OSError, ValueError):
        return False


def ask(url: str, path: str, body: dict[str, Any] | None = None, *, timeout_s: float) -> Any:
    """Ask Prefect's API, with what the environment has to be let in.

    Args:
        url: of the API.
        path: what to ask, like "/flow_runs/filter".
        body: sent as JSON, by POST; by GET when None.
        timeout_s: how long to wait.

    Raises:
        OSError: there is no answer, or a refusal.
        ValueError: the answer is no JSON, or the URL none.
    """
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    elif words := os.environ.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = f"Basic {base64.b64encode(words.encode()).decode()}"
    data = None if body is None else json.dumps(body).encode()
    # a proxy does not know this machine's servers
    proxies: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})] if _is_here(url) else []
    opener = urllib.request.build_opener(*proxies)
    with opener.open(urllib.request.Request(url + path, data, headers), timeout=timeout_s) as answer:
        return json.load(answer)


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def probe(url: str) -> None:
    """See that something listens where PREFECT_API_URL points."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConnectionError(f"PREFECT_API_URL is {url!r}: write it as http://HOST:PORT/api")
    if not cluster.accepts_connections(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)):
        raise ConnectionError(
            f"no Prefect server answers at {url}: start it, or unset PREFECT_API_URL to use what `atelier up` started"
        )
