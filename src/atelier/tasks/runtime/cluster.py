"""The Ray cluster: start a head of our own, connect to it or to the user's, see that every node reads what is written.

A head listens on the loopback interface and asks for a token: whoever reaches an open Ray port runs code as its owner.
Nothing here asks Ray to stop "all" of anything: processes are ended by what was recorded when they were started.
"""

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

# read by ray when it is imported, by drivers as well as by the head; without the last one, whose name tells what it was
# made for, Ray takes 127.0.0.1 for the machine's outer address and listens on every interface
_LOOPBACK = {
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
# what a head's processes would count about themselves, for a dashboard that it has not: a hundredth of a core each
NO_METRICS = {
    "RAY_enable_metrics_collection": "0",
    "RAY_event_stats": "0",
    "RAY_task_events_report_interval_ms": "0",
}
_SETTINGS = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # threads that train together wait for each other, by default so busily that workers, whose priority Ray lowers, get
    # hardly anything done beside other work; with so few rounds they sleep sooner (benchmarks/beside.py)
    "GOMP_SPINCOUNT": "10000",
}
CLUSTER_SETTINGS = tuple(_LOOPBACK)  # a driver must have them as its cluster has
_PROBE_S = 2.0
_HTTP2_SETTINGS = b"\x04"  # the type of the first frame, the fourth byte of its header (RFC 9113, 3.4 and 4.1)
_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + _HTTP2_SETTINGS + b"\0" * 5


@dataclass(frozen=True)
class ExternalCluster:
    """A Ray cluster that is somebody else's to start and to stop."""

    address: str  # host:port
    token: str | None  # path of a file with its token
    settings: dict[str, str]  # those of SETTINGS_OF_A_CLUSTER that the environment had beside its address

    @property
    def alive(self) -> bool:
        """Whether a cluster answers there."""
        try:
            probe(self.address)
        except ConnectionError:
            return False
        return True

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a process and its children find it; set them before ray is imported."""
        token = {"RAY_AUTH_TOKEN_PATH": self.token} if self.token else {}
        return {"RAY_ADDRESS": self.address, **_SETTINGS, **self.settings, **token}


@dataclass(frozen=True)
class Connection:
    """What this process is connected to."""

    address: str
    cpus: int
    gpus: int


@dataclass(frozen=True)
class Resources:
    """What a cluster has: free, and all of it."""

    cpus: tuple[float, float]
    gpus: tuple[float, float]


def query_resources(variables: dict[str, str], timeout_s: float) -> Resources | None:
    """Ask a cluster what it has, in a process of its own: a driver that waits for an answer cannot be stopped.

    Args:
        variables: by which the cluster is found.
        timeout_s: how long to wait.

    Returns:
        None where it did not say in time, or does not let us in.
    """
    words = (
        "import json, ray\nfrom atelier.tasks.runtime import cluster\ncluster.connect()\n"
        "both = (ray.available_resources(), ray.cluster_resources())\n"
        "print(json.dumps([[of.get(kind, 0) for of in both] for kind in ('CPU', 'GPU')]))"
    )
    command = [sys.executable, "-W", "ignore", "-c", words]
    try:
        done = subprocess.run(
            command, env=os.environ | variables, capture_output=True, text=True, check=True, timeout=timeout_s
        )
        cpus, gpus = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError):
        return None
    return Resources(tuple(cpus), tuple(gpus))


def ray_environment(address: str, token: str | None = None) -> dict[str, str]:
    """The variables by which this process and its children find a cluster; set them before ray is imported.

    Args:
        address: host:port.
        token: path of the token file of a head of ours; None for a cluster of the user's, whose settings stay.
    """
    ours = {**_LOOPBACK, **NO_METRICS, "RAY_AUTH_TOKEN_PATH": token} if token else {}
    return {"RAY_ADDRESS": address, **_SETTINGS, **ours}


def connect(address: str | None = None, token: Path | None = None) -> Connection:
    """Connect this process to a Ray cluster; when it is connected already, say to what.

    Args:
        address: host:port; what RAY_ADDRESS says when None.
        token: file with the cluster's token; what RAY_AUTH_TOKEN_PATH or RAY_AUTH_TOKEN say when None.

    Raises:
        ConnectionError: nothing is configured, nothing answers there, or the cluster does not let us in.
        ValueError: the address is none.
    """
    import ray

    if not ray.is_initialized():
        address = address or os.environ.get("RAY_ADDRESS")
        if not address:
            raise ConnectionError("no Ray cluster is configured: start one with `atelier up`, or set RAY_ADDRESS")
        probe(address)
        if token is not None:
            os.environ.update(ray_environment(address, str(token)))
        _reread_settings()
        try:
            ray.init(address, log_to_driver=False, configure_logging=False, logging_level="error")
        except Exception as error:
            mode = os.environ.get("RAY_AUTH_MODE", "not set")
            raise ConnectionError(
                f"the Ray cluster at {address} does not let us in (RAY_AUTH_MODE is {mode}, its token must be in "
                f"RAY_AUTH_TOKEN_PATH): {' '.join(str(error).split())[:200]}"
            ) from error
    query_resources = ray.cluster_resources()
    where = ray.get_runtime_context().gcs_address
    return Connection(str(where), int(query_resources.get("CPU", 0)), int(query_resources.get("GPU", 0)))


@contextlib.contextmanager
def disconnect_after() -> Iterator[None]:
    """Disconnect from the cluster at the end of a block, where the block connected."""
    before = _connected()
    try:
        yield
    finally:
        if _connected() and not before:
            sys.modules["ray"].shutdown()


def probe(address: str) -> None:
    """See that a Ray cluster may be at an address: `ray.init` would wait ten minutes for one.

    Raises:
        ConnectionError: nothing listens there, or something that does not speak HTTP/2 as Ray does.
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
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=_PROBE_S).close()
    except OSError:
        return False
    return True


def preflight(data_root: Path) -> list[str]:
    """See that every node of the cluster reads what is written under the data root, before anything is computed.

    Args:
        data_root: the folder that workers read and write under; a mount that all nodes share.

    Returns:
        The addresses of the nodes.

    Raises:
        RuntimeError: a node can not read it; the message names the node.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def read_there(path: str) -> str:
        try:
            return Path(path).read_text()
        except OSError as error:
            return f"{error.strerror}"

    read = ray.remote(num_cpus=0, max_retries=0)(read_there)
    words = secrets.token_hex(16)
    path = data_root.absolute() / f".atelier-preflight-{os.getpid()}"
    nodes = [node for node in ray.nodes() if node["Alive"]]
    path.write_text(words)
    try:
        answers = ray.get(
            [
                read.options(scheduling_strategy=NodeAffinitySchedulingStrategy(n["NodeID"], soft=False)).remote(
                    str(path)
                )
                for n in nodes
            ]
        )
    finally:
        path.unlink()
    for node, answer in zip(nodes, answers, strict=True):
        if answer != words:
            raise RuntimeError(
                f"node {node['NodeManagerAddress']} can not read {data_root} ({answer[:80]}): "
                "mount it at the same path on every node"
            )
    return [str(node["NodeManagerAddress"]) for node in nodes]


def _connected() -> bool:
    ray = sys.modules.get("ray")  # a process that has not imported it is not connected
    return bool(ray is not None and ray.is_initialized())


def get_result(ref: Any) -> Any:
    """The task's result, or its own error instead of Ray's with a remote traceback."""
    import ray
    from ray.exceptions import RayTaskError

    try:
        return ray.get(ref)
    except RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from error


def finished(refs: Sequence[Any]) -> Iterator[Any]:
    """Results of tasks, each as soon as it is there; a task that failed raises its own error."""
    import ray

    waiting = list(refs)
    while waiting:
        (ready,), waiting = ray.wait(waiting, num_returns=1)
        yield get_result(ready)


def _reread_settings() -> None:
    """Have a ray that was imported before its variables were set take them over."""
    from ray._private import ray_constants
    from ray._private.authentication.authentication_token_setup import AuthenticationTokenLoader, Config

    ray_constants.ENABLE_RAY_CLUSTER = ray_constants.env_bool(
        ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, not ray_constants.IS_WINDOWS_OR_OSX
    )
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def connected_keeping_sigterm(connect: Callable[[], object]) -> Iterator[None]:
    """Connect to Ray, whose handler of SIGTERM dumps a stack and aborts, and keep the one that was there before.

    Where there was none, SIGTERM raises SystemExit, so that the books are closed.
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
