"""A real cluster of several nodes on this machine."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Nodes:
    """Raylets of one cluster on this machine, each with one CPU."""

    folder: Path
    address: str
    environment: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        command += ["--min-worker-port", "0", "--max-worker-port", "0", "--num-cpus", "1", *arguments]
        with (self.folder / "nodes.log").open("ab") as log:
            return subprocess.Popen(
                command, env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def processes(self) -> list[psutil.Process]:
        """All of the cluster: they carry the path of its token."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.environ().get("RAY_AUTH_TOKEN_PATH") == self.environment["RAY_AUTH_TOKEN_PATH"]:
                    found.append(process)
        return found

    def raylet_of(self, started: "subprocess.Popen[bytes]") -> psutil.Process:
        (raylet,) = (child for child in psutil.Process(started.pid).children() if child.name() == "raylet")
        return raylet

    def await_raylets(self, count: int) -> None:
        """Until that many have said that they take work."""
        deadline = time.monotonic() + 60
        while (self.folder / "nodes.log").read_text().count("Ray runtime started") < count:
            assert time.monotonic() < deadline, (self.folder / "nodes.log").read_text()
            time.sleep(0.1)


@contextlib.contextmanager
def nodes_started() -> Iterator[Nodes]:
    """A cluster whose head has one CPU."""
    from ray.util import get_node_ip_address

    with tempfile.TemporaryDirectory(prefix="at-", dir="/tmp") as name:
        folder = Path(name)
        (folder / "token").write_text("0" * 64)
        (folder / "token").chmod(0o600)
        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": os.fspath(folder / "token")}
        started = Nodes(folder, f"{get_node_ip_address()}:{port}", {**os.environ, **settings})
        head = started.start("--head", "--port", str(port), "--include-dashboard=false", "--temp-dir", name + "/ray")
        try:
            started.await_raylets(1)
            yield started
        finally:
            everything = started.processes()
            for process in everything:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(everything)
            head.wait()
