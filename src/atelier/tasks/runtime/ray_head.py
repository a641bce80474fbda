"""A Ray head of our own: it is started, waited for and stopped.

A head listens on the loopback interface and asks for a token: whoever reaches an open Ray port runs code as its owner.
Nothing here asks Ray to stop "all" of anything: processes are ended by what was recorded when they were started.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from atelier.tasks.runtime.cluster import ray_environment
from atelier.tasks.runtime.files import write_secret
from atelier.tasks.runtime.ports import Ports, reserve
from atelier.tasks.runtime.processes import is_running

FIRST_PORT = 20001  # below are the ports that Ray gives its workers, above 32767 those the kernel gives connections
# a head's workers inherit its environment: names of other clusters and of the DVC stage that starts it, and passwords
# that are not for tasks, are left out
_NOT_FOR_A_HEAD = (
    *("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "DVC_ROOT", "DVC_STAGE"),
    *("ATELIER_DATABASE", "PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL"),
)
_START_S = 90.0
_STOP_S = 10.0


@dataclass(frozen=True)
class RayHead:
    """A Ray head that we started."""

    address: str  # host:port
    token: str  # path of the token file, mode 0600
    temp: str  # Ray's folder: sockets, logs
    pid: int  # of `ray start`, which leads the session that all of the head's processes are in
    created: float  # when that process began, seconds since the epoch: a pid alone may be another process by now

    @property
    def alive(self) -> bool:
        """Whether the process that was started is still there."""
        return is_running(self.pid, self.created)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a process and its children find it; set them before ray is imported."""
        return ray_environment(self.address, self.token)


def start_head(
    folder: Path,
    temp: Path,
    *,
    cpus: int | None = None,
    first_port: int = FIRST_PORT,
    instead_of: RayHead | None = None,
) -> RayHead:
    """Start a Ray head on the loopback interface; `await_head` waits until it is ready.

    Args:
        folder: where the token file goes.
        temp: Ray's own folder, not there yet; its path must be short, for its sockets' names may have 107 characters.
        cpus: logical CPUs; all of the machine's when None.
        first_port: where the search for free ports begins.
        instead_of: a head that is gone: what is left of it is ended, and its port, if it is free, and its token are
            taken over, so that programs that used it find this one.

    Raises:
        ValueError: the path of `temp` is too long.
    """
    if len(str(temp)) > 40:
        raise ValueError(f"{temp} is too long a path for Ray's sockets: 40 characters are the most")
    words = _token_of(instead_of) if instead_of else None
    if instead_of:
        stop(instead_of)
    temp.mkdir(parents=True, mode=0o700)
    token = folder / "ray.token"
    write_secret(token, words or secrets.token_hex(32))
    like = int(instead_of.address.rpartition(":")[2]) if instead_of else None
    inherited = {k: v for k, v in os.environ.items() if k not in _NOT_FOR_A_HEAD}
    variables = inherited | ray_environment("", str(token))
    del variables["RAY_ADDRESS"]
    with reserve("0.0.0.0", first_port, 2, like=like) as ports:
        return _start(temp, token, variables, ports, cpus)


def _start(temp: Path, token: Path, variables: dict[str, str], ports: Ports, cpus: int | None) -> RayHead:
    port, client_port = ports.numbers
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    command += ["--node-ip-address", "127.0.0.1", "--port", str(port), "--ray-client-server-port", str(client_port)]
    command += ["--min-worker-port", "0", "--max-worker-port", "0", "--include-dashboard", "false", "--no-monitor"]
    command += ["--include-log-monitor", "false"]  # our drivers do not print what workers print
    command += ["--temp-dir", str(temp), *(["--num-cpus", str(cpus)] if cpus else [])]
    with (temp / "head.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=temp,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=ports.held,
        )
    created = psutil.Process(process.pid).create_time()
    process.returncode = 0  # it is followed by its pid from here on, also by other processes
    return RayHead(f"127.0.0.1:{port}", str(token), str(temp), process.pid, created)


def await_head(head: RayHead) -> None:
    """Wait until a head takes work.

    Raises:
        RuntimeError: it ended, or was not ready in time; the message has its last line.
    """
    deadline = time.monotonic() + _START_S
    ready = Path(head.temp) / "ray_current_cluster"  # written when all of its processes run
    while not ready.exists():
        if not head.alive or time.monotonic() > deadline:
            said = (Path(head.temp) / "head.log").read_text(errors="replace").strip().splitlines()
            raise RuntimeError(f"the Ray head did not start: {said[-1] if said else 'it said nothing'}")
        time.sleep(0.05)


def stop(head: RayHead) -> None:
    """End a head and everything that it started, and remove its folder."""
    ours = _processes_of(head)
    for process in ours:
        if process.pid == head.pid or not head.alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
    psutil.wait_procs(ours, timeout=_STOP_S)
    for process in (remaining := _processes_of(head)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(remaining, timeout=_STOP_S)
    shutil.rmtree(head.temp, ignore_errors=True)
    Path(head.token).unlink(missing_ok=True)


def _token_of(head: RayHead) -> str | None:
    try:
        return Path(head.token).read_text()
    except OSError:
        return None


def _processes_of(head: RayHead) -> list[psutil.Process]:
    """The head's session; of a head that is gone, what names its folder or carries its token in that session."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
            session = os.getsid(process.pid) == head.pid
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            named = any(f"{head.temp}/session_" in word for word in process.cmdline())
            if (session and (head.alive or process.environ().get("RAY_AUTH_TOKEN_PATH") == head.token)) or named:
                found.append(process)
    return found
