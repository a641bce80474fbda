"""The Prefect server as a separate process: start it, wait for it, ask it, stop it.

Prefect is not imported here: it reads its environment when it is imported, and that is not set yet.
"""

import contextlib
import json
import os
import shutil
import sqlite3
import sys
import urllib.request
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from atelier.flows.control_plane import api_password, server_program
from atelier.flows.control_plane.database import SQLITE, Database
from atelier.flows.control_plane.server_program import HOSTS
from atelier.models.files import replacing
from atelier.tasks.runtime import cluster, processes
from atelier.tasks.runtime.ports import Ports, reserve

FIRST_PORT = 4200  # Prefect's own

_LOG = "server.log"
_STOP_S = 10.0
_HEALTH_S = 10.0  # a server that listens but is busy
_PREFECT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "DO_NOT_TRACK": "1",
    "PREFECT__SERVER_FINAL": "1",
    # runs go after Prefect's 90 days, with their logs and artifacts
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
}


@dataclass(frozen=True)
class PrefectServer:
    """A Prefect server that we started."""

    url: str  # of its API
    home: str  # folder of its log, and of its database file
    pid: int
    created: float  # when the process began, seconds since the epoch
    database: str = SQLITE  # or the name of a PostgreSQL database, without password

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return processes.is_running(self.pid, self.created)


def home() -> Path:
    """The folder of this user's control plane: $ATELIER_HOME, or `atelier` in the user's state folder."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return Path(os.environ.get("ATELIER_HOME") or state / "atelier").expanduser().absolute()


def start(
    folder: Path, first_port: int, *, database: Database | None = None, instead_of: PrefectServer | None = None
) -> PrefectServer:
    """Start a server on the loopback interface; `await_ready` waits until it answers.

    Args:
        folder: of its log, and of its database file.
        database: for its runs and schedules; a SQLite file when None.
        instead_of: a server that ended or does not answer: it is stopped, and its port taken over if that is free.
    """
    if instead_of:
        stop(instead_of)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    like = urlsplit(instead_of.url).port if instead_of else None
    with reserve("127.0.0.1", first_port, preferred=like) as ports:
        return _start(folder, ports, database)


def _start(folder: Path, ports: Ports, database: Database | None) -> PrefectServer:
    (port,) = ports.numbers
    not_ours = ("PREFECT_", "ATELIER_DATABASE")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(not_ours)}
    url, origins = f"http://{HOSTS[0]}:{port}/api", ",".join(f"http://{host}:{port}" for host in HOSTS)
    variables = inherited | _PREFECT | {"PREFECT_HOME": str(folder), "PREFECT_SERVER_API_PORT": str(port)}
    variables |= {"PREFECT_SERVER_API_AUTH_STRING": api_password.make(home(), url)}
    variables |= {"PREFECT_SERVER_CORS_ALLOWED_ORIGINS": origins}
    file = folder / "prefect.db"
    if database:
        variables["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database.url
    elif not file.exists() and _empty_database().exists():
        shutil.copyfile(_empty_database(), file)
    command = [sys.executable, "-m", server_program.__name__]
    pid, created = processes.start_detached(command, variables, folder / _LOG, ports.held)
    kept = database.name if database else SQLITE
    return PrefectServer(url, str(folder), pid, created, kept)


def await_ready(server: PrefectServer) -> None:
    """Wait until the server answers.

    Raises:
        RuntimeError: it ended, or did not answer in time; the message has the last line of its log.
    """
    log = Path(server.home) / _LOG
    processes.await_started("Prefect server", lambda: healthy(server.url), lambda: server.alive, log)
    if server.database == SQLITE:
        _keep_empty_database(Path(server.home) / "prefect.db")


def stop(server: PrefectServer) -> None:
    """Stop a server that we started; its database stays."""
    if server.alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(server.pid)
            group = [process, *process.children(recursive=True)]
            process.terminate()
            _, remaining = psutil.wait_procs(group, timeout=_STOP_S)
            for one in remaining:
                one.kill()
            psutil.wait_procs(remaining, timeout=_STOP_S)


def read_settings() -> None:
    """Make Prefect read its settings: from variables and the user's profile, not from files of the current folder.

    A `prefect.toml`, `pyproject.toml` or `.env` there may belong to somebody else, and can name programs.
    """
    with contextlib.chdir("/"):
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


def _empty_database() -> Path:
    return home() / f"prefect-{version('prefect')}.db"


def _keep_empty_database(database: Path) -> None:
    """Keep a copy of a database that was just made: making one takes six seconds, copying it none."""
    if _empty_database().exists():
        return
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.closing(sqlite3.connect(database)) as made:
        if made.execute("SELECT count(*) FROM flow_run").fetchone()[0]:
            return
        with replacing(_empty_database()) as temporary, contextlib.closing(sqlite3.connect(temporary)) as empty:
            made.backup(empty)


def healthy(url: str) -> bool:
    """Whether a server on this machine answers."""
    try:
        return bool(ask(url, "/health", timeout_s=_HEALTH_S))
    except (OSError, ValueError):
        return False


def ask(url: str, path: str, body: dict[str, Any] | None = None, *, timeout_s: float) -> Any:
    """The answer of Prefect's API to a GET, or to a POST of `body` as JSON, with the credentials of the environment.

    Raises:
        OSError: no answer, or a refusal.
        ValueError: the answer is not JSON, or the URL is not valid.
    """
    headers = {"Content-Type": "application/json"} | api_password.authorization(home(), url)
    data = None if body is None else json.dumps(body).encode()
    # a proxy does not know this machine's servers
    is_here = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    proxies: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})] if is_here else []
    opener = urllib.request.build_opener(*proxies)
    with opener.open(urllib.request.Request(url + path, data, headers), timeout=timeout_s) as answer:
        return json.load(answer)


def probe(url: str) -> None:
    """Check that something listens where PREFECT_API_URL points.

    Raises:
        ConnectionError: nothing does, or the URL is not valid.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConnectionError(f"PREFECT_API_URL is {url!r}: write it as http://HOST:PORT/api")
    if not cluster.accepts_connections(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)):
        raise ConnectionError(
            f"no Prefect server answers at {url}: start it, or unset PREFECT_API_URL to use what `atelier up` started"
        )
