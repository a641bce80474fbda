"""A Ray head of our own: starting it, waiting until it is ready, stopping it.

The head listens on the loopback interface and asks for a token. It is stopped by the process that was recorded when it
started, never by `ray stop`, which ends other clusters too.
"""

import contextlib
import os
import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from atelier.tasks.runtime.files import write_secret
from atelier.tasks.runtime.ports import reserve
from atelier.tasks.runtime.processes import await_started, is_running, start_detached
from atelier.tasks.runtime.ray_driver import RECONNECT
from atelier.tasks.runtime.ray_settings import ray_environment

FIRST_PORT = 20001  # Ray gives its workers lower ports; the kernel gives connections those above 32767
# a head's workers inherit its environment, without names of other clusters and DVC stages, and without passwords
_NOT_INHERITED = (
    *("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "DVC_ROOT", "DVC_STAGE"),
    RECONNECT,  # of drivers: what belongs to a head ends with it
    *("ATELIER_DATABASE", "PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL"),
)
# of a worker, until it takes work: on a busy machine that takes longer than Ray's minute, and it would be started anew
_STARTS_WITHIN = {"RAY_worker_register_timeout_seconds": "600"}
_LOG = "head.log"
_STOP_S = 10.0


@dataclass(frozen=True)
class RayHead:
    """A Ray head that we started."""

    address: str  # host:port
    token: str  # path of the token file, mode 0600
    temp: str  # Ray's folder: sockets, logs
    pid: int  # of `ray start`, which leads the session of all of the head's processes
    created: float  # start of that process, seconds since the epoch: a pid alone may be reused
    dashboard: str = ""  # URL of Ray's dashboard, which also takes jobs; "" without one

    @property
    def alive(self) -> bool:
        """Whether the process that was started still runs."""
        return is_running(self.pid, self.created)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a process and its children find it; set them before ray is imported."""
        jobs = {"RAY_API_SERVER_ADDRESS": self.dashboard} if self.dashboard else {}
        return ray_environment(self.address, self.token, metrics=bool(self.dashboard)) | jobs


def start_head(
    folder: Path,
    temp: Path,
    *,
    cpus: int | None = None,
    first_port: int = FIRST_PORT,
    dashboard: bool = False,
    instead_of: RayHead | None = None,
) -> RayHead:
    """Start a Ray head on the loopback interface; `await_head` waits until it is ready.

    Args:
        folder: of the token file.
        temp: Ray's own folder, not there yet; of at most 40 characters, since names of sockets have at most 107.
        cpus: logical CPUs; None means all of the machine.
        first_port: the lowest.
        dashboard: also serve Ray's dashboard and take its jobs, on the loopback interface and with the same token.
        instead_of: a head that ended: its other processes are stopped; its token, and its port if that is free, are
            used again, so that its programs find the new head.

    Raises:
        ValueError: the path of `temp` is too long.
    """
    if len(str(temp)) > 40:
        raise ValueError(f"{temp} is too long a path for Ray's sockets: 40 characters are the most")
    secret, preferred = "", None
    if instead_of:
        with contextlib.suppress(OSError):
            secret = Path(instead_of.token).read_text()
        stop(instead_of)
        preferred = int(instead_of.address.rpartition(":")[2])
    temp.mkdir(parents=True, mode=0o700)
    token = folder / "ray.token"
    write_secret(token, secret or secrets.token_hex(32))
    inherited = {k: v for k, v in os.environ.items() if k not in _NOT_INHERITED}
    variables = inherited | ray_environment("", str(token), metrics=dashboard) | _STARTS_WITHIN
    del variables["RAY_ADDRESS"]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    command += ["--min-worker-port", "0", "--max-worker-port", "0", "--dashboard-host", "127.0.0.1"]
    # without the monitor `ray status` has nothing to say
    command += ["--include-dashboard", "true"] if dashboard else ["--include-dashboard", "false", "--no-monitor"]
    command += ["--include-log-monitor", "false"]  # our drivers do not print what workers print
    command += ["--temp-dir", str(temp), *(["--num-cpus", str(cpus)] if cpus else [])]
    with reserve("0.0.0.0", first_port, 4, preferred=preferred) as ports:
        port, client_port, http_port, agent_port = ports.numbers
        command += ["--node-ip-address", "127.0.0.1", "--port", str(port), "--ray-client-server-port", str(client_port)]
        # Ray's own default for the agent, which takes the jobs, is the same for every head of a machine
        command += ["--dashboard-port", str(http_port), "--dashboard-agent-listen-port", str(agent_port)]
        pid, created = start_detached(command, variables, temp / _LOG, ports.held)
    url = f"http://127.0.0.1:{http_port}" if dashboard else ""
    return RayHead(f"127.0.0.1:{port}", str(token), str(temp), pid, created, url)


def await_head(head: RayHead) -> None:
    """Wait until a head takes work. Raises RuntimeError as `processes.await_started` does."""
    ready = Path(head.temp) / "ray_current_cluster"  # written when all processes run
    await_started("Ray head", ready.exists, lambda: head.alive, Path(head.temp) / _LOG)


def stop(head: RayHead) -> None:
    """End a head and all its processes, and remove its folder.

    They are killed, since none has anything to save: after SIGTERM a head waits for actors that outlive their drivers,
    such as Ray Data's, without end.
    """
    for _ in ("those that run", "those that they were starting"):
        ours = _processes_of(head)
        for process in ours:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(ours, timeout=_STOP_S)
    shutil.rmtree(head.temp, ignore_errors=True)
    Path(head.token).unlink(missing_ok=True)


def _processes_of(head: RayHead) -> list[psutil.Process]:
    """The processes of the head's session; of a dead head, those with its folder in their command or with its token.

    Those that the kernel has begun to end, as it ends the children of a killed head, have no command and no environment
    any more, or are zombies with a thread that is not, and still have their ports.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
            session = os.getsid(process.pid) == head.pid
            if process.status() == psutil.STATUS_ZOMBIE and process.num_threads() == 1:
                continue
            ours = session and (head.alive or _has_token(process, head.token))
            if ours or any(f"{head.temp}/session_" in word for word in process.cmdline()):
                found.append(process)
    return found


def _has_token(process: psutil.Process, token: str) -> bool:
    """Whether a process was given this token, or can no longer tell, since it is being ended."""
    try:
        variables = process.environ()
    except (psutil.NoSuchProcess, ProcessLookupError):
        return True
    return not variables or variables.get("RAY_AUTH_TOKEN_PATH") == token
