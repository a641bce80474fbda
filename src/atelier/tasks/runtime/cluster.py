"""The Ray cluster: connecting to it, checking its nodes, waiting for results."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier.tasks.runtime.child_environment import safe_environment
from atelier.tasks.runtime.ray_driver import ClusterLost, lost_cluster, raise_when_lost, starting_a_driver, wait_for
from atelier.tasks.runtime.ray_settings import RAY_SETTINGS, ray_environment, reread_settings

_PROBE_S = 2.0
_HTTP2_SETTINGS = b"\x04"  # the type of the first frame, the fourth byte of its header (RFC 9113, 3.4 and 4.1)
_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + _HTTP2_SETTINGS + b"\0" * 5


@dataclass(frozen=True)
class ExternalCluster:
    """A Ray cluster that the user starts and stops."""

    address: str  # host:port
    token: str | None  # path of a file with its token
    settings: dict[str, str]  # values of `CLUSTER_SETTINGS` in the user's environment

    @property
    def alive(self) -> bool:
        """Whether a cluster answers at the address."""
        try:
            probe(self.address)
        except ConnectionError:
            return False
        return True

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a process and its children find it; set them before ray is imported."""
        token = {"RAY_AUTH_TOKEN_PATH": self.token} if self.token else {}
        return {"RAY_ADDRESS": self.address, **RAY_SETTINGS, **self.settings, **token}


@dataclass(frozen=True)
class Connection:
    """The cluster that this process is connected to."""

    address: str
    cpus: int
    gpus: int


@dataclass(frozen=True)
class Resources:
    """Resources of a cluster: free, and in total."""

    cpus: tuple[float, float]
    gpus: tuple[float, float]


def query_resources(variables: dict[str, str], timeout_s: float) -> Resources | None:
    """The resources of a cluster, asked for in a child process: a driver that waits for Ray cannot be interrupted.

    The cluster is found by the environment `variables`. None where it does not answer in time, or refuses the token.
    """
    program = (
        "import json, ray\nfrom atelier.tasks.runtime import cluster\ncluster.connect()\n"
        "both = (ray.available_resources(), ray.cluster_resources())\n"
        "print(json.dumps([[of.get(kind, 0) for of in both] for kind in ('CPU', 'GPU')]))"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    try:
        done = subprocess.run(
            command,
            env=safe_environment(os.environ | variables),
            capture_output=True,
            text=True,
            check=True,
            timeout=timeout_s,
        )
        cpus, gpus = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError):
        return None
    return Resources(tuple(cpus), tuple(gpus))


def connect(address: str | None = None, token: Path | None = None) -> Connection:
    """Connect this process to a Ray cluster, unless it is connected already.

    Args:
        address: host:port; None takes RAY_ADDRESS.
        token: file with the cluster's token; None takes RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN.

    When the cluster ends later, ClusterLost is raised in the main thread.

    Raises:
        ConnectionError: no cluster is configured, none answers, or it refuses the token.
        ValueError: the address is not HOST:PORT.
    """
    import ray

    if ray.is_initialized():
        probe(str(ray.get_runtime_context().gcs_address))
    else:
        address = address or os.environ.get("RAY_ADDRESS")
        if not address:
            raise ConnectionError("no Ray cluster is configured: start one with `atelier up`, or set RAY_ADDRESS")
        probe(address)
        if token is not None:
            os.environ.update(ray_environment(address, str(token)))
        reread_settings()
        try:
            # Ray's workers search the driver's current folder for modules, before all others
            with starting_a_driver(), contextlib.chdir("/"):
                ray.init(address, log_to_driver=False, configure_logging=False, logging_level="error")
            raise_when_lost(address, probe)
        except Exception as error:
            mode = os.environ.get("RAY_AUTH_MODE", "not set")
            raise ConnectionError(
                f"the Ray cluster at {address} does not let us in (RAY_AUTH_MODE is {mode}, its token must be in "
                f"RAY_AUTH_TOKEN_PATH): {' '.join(str(error).split())[:200]}"
            ) from error
    total = ray.cluster_resources()
    return Connection(str(ray.get_runtime_context().gcs_address), int(total.get("CPU", 0)), int(total.get("GPU", 0)))


@contextlib.contextmanager
def disconnect_after() -> Iterator[None]:
    """Disconnect at the end of the block, if the block connected. Ray's errors after the end of a cluster name that."""
    before = _connected()
    try:
        yield
    except Exception as error:
        if (cause := or_lost(error)) is error:
            raise
        raise cause from error
    finally:
        if _connected() and not before:
            sys.modules["ray"].shutdown()


def probe(address: str) -> None:
    """Check that a Ray cluster may be at an address: `ray.init` would wait ten minutes for it.

    Raises:
        ConnectionError: nothing listens there, or a program that does not speak HTTP/2 as Ray does.
        ValueError: the address is not HOST:PORT.
    """
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdigit():
        raise ValueError(f"RAY_ADDRESS is {address!r}: write it as HOST:PORT, as `atelier status` shows it")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_S) as connection:
            connection.sendall(_HTTP2_HELLO)
            answer = connection.recv(9)
    except OSError as error:
        raise ConnectionError(
            f"no Ray cluster answers at {address}: start it, or unset RAY_ADDRESS to use what `atelier up` started"
        ) from error
    if answer[3:4] != _HTTP2_SETTINGS:
        raise ConnectionError(f"what answers at {address} is no Ray cluster: correct RAY_ADDRESS, or unset it")


def accepts_connections(host: str, port: int) -> bool:
    """Whether a program accepts TCP connections there."""
    try:
        socket.create_connection((host, port), timeout=_PROBE_S).close()
    except OSError:
        return False
    return True


def preflight(data_root: Path) -> list[str]:
    """Check that every node reads what is written under the data root, and return the addresses of the nodes.

    Raises:
        RuntimeError: a node cannot read it; the message names the node.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def read_there(path: str) -> str:
        try:
            return Path(path).read_text()
        except OSError as error:
            return f"{error.strerror}"

    read = ray.remote(num_cpus=0, max_retries=0)(read_there)
    token = secrets.token_hex(16)
    path = data_root.absolute() / f".atelier-preflight-{os.getpid()}"
    nodes = [node for node in ray.nodes() if node["Alive"]]
    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    path.write_text(token)
    try:
        answers = ray.get([read.options(scheduling_strategy=place).remote(str(path)) for place in places])
    finally:
        path.unlink()
    for node, answer in zip(nodes, answers, strict=True):
        if answer != token:
            raise RuntimeError(
                f"node {node['NodeManagerAddress']} can not read {data_root} ({answer[:80]}): "
                "mount it at the same path on every node"
            )
    return [str(node["NodeManagerAddress"]) for node in nodes]


def get_result(ref: Any) -> Any:
    """The result of a task. Its error is raised itself, not wrapped in Ray's with a remote traceback."""
    import ray
    from ray.exceptions import RayTaskError

    wait_for([ref])
    try:
        return ray.get(ref)
    except RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from error


def finished(refs: Sequence[Any]) -> Iterator[Any]:
    """Results of tasks, each as soon as it is there; a task that failed raises its own error."""
    waiting = list(refs)
    while waiting:
        ready, waiting = wait_for(waiting)
        yield get_result(ready)


@contextlib.contextmanager
def connected_keeping_sigterm(connect: Callable[[], object]) -> Iterator[None]:
    """Connect to Ray, and keep the handler of SIGTERM from before: Ray's own dumps a stack and aborts.

    Without a handler before, SIGTERM raises SystemExit, so that open files are closed.
    """
    if threading.current_thread() is not threading.main_thread():
        connect()
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    connect()
    signal.signal(signal.SIGTERM, before if callable(before) else lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def or_lost(error: Exception) -> Exception:
    """An error, or ClusterLost where it is one of Ray's and the cluster of this process does not answer any more."""
    if not _connected() or isinstance(error, ClusterLost):
        return error
    import ray

    if isinstance(error, ray.exceptions.RayError):
        address = str(ray.get_runtime_context().gcs_address)
        try:
            probe(address)
        except ConnectionError:
            return lost_cluster(address)
    return error


def _connected() -> bool:
    ray = sys.modules.get("ray")  # not imported means not connected
    return bool(ray is not None and ray.is_initialized())
