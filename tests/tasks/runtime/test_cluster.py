"""A Ray head of our own: only this machine can connect, only with the token, and no process of it remains."""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from atelier.tasks.runtime import cluster, ray_head

pytestmark = pytest.mark.long

# a driver in a process of its own: this one is connected to the tests' shared cluster
DRIVER = """
import os
import sys
from pathlib import Path
from atelier.tasks.runtime import cluster
if "early" in sys.argv:
    import ray
connection = cluster.connect(sys.argv[1], Path(sys.argv[2]))
print(connection.address, connection.cpus, *cluster.preflight(Path(sys.argv[3])))
import ray
print(ray.get(ray.remote(os.getenv).remote("GOMP_SPINCOUNT")))
"""


@pytest.fixture(scope="module")
def head() -> Iterator[ray_head.RayHead]:
    with tempfile.TemporaryDirectory(prefix="at-", dir="/tmp") as folder:
        started = ray_head.start_head(Path(folder), Path(folder) / "ray", cpus=2, first_port=24001)
        ray_head.await_head(started)
        yield started
        everything = [p for p in psutil.process_iter() if p.pid and _session(p.pid) == started.pid]
        assert len(everything) > 3
        ray_head.stop(started)
        assert [p for p in everything if p.is_running()] == []
        assert list(Path(folder).iterdir()) == []


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


@pytest.mark.parametrize("imported", ["early", "late"])
def test_a_driver_with_the_token_connects(head: ray_head.RayHead, tmp_path: Path, imported: str) -> None:
    command = [sys.executable, "-c", DRIVER, head.address, head.token, str(tmp_path), imported]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    assert done.stdout.split() == [head.address, "2", "127.0.0.1", "10000"], done.stderr
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # Ray tries for twenty seconds
def test_a_driver_with_another_token_does_not(head: ray_head.RayHead, tmp_path: Path) -> None:
    wrong = tmp_path / "token"
    wrong.write_text("0" * 64)
    command = [sys.executable, "-c", DRIVER, head.address, str(wrong), str(tmp_path), "late"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    assert "does not let us in" in done.stderr.splitlines()[-1]


LOSER = """
import sys, time
from pathlib import Path
from atelier.tasks.runtime import cluster

cluster.connect(sys.argv[1], Path(sys.argv[2]))
import ray

task = ray.remote(max_retries=0)(lambda: time.sleep(600)).remote()
Path(sys.argv[3]).touch()
try:
    with cluster.disconnect_after():
        time.sleep(600) if sys.argv[4] == "elsewhere" else cluster.get_result(task)
except cluster.ClusterLost as error:
    print(error)
"""


def test_the_end_of_a_cluster_is_one_sentence(tmp_path: Path) -> None:
    """Within seconds, without a line of Ray's, and the process goes on, whether it waits for a result or not."""
    with tempfile.TemporaryDirectory(prefix="at-", dir="/tmp") as folder:
        started = ray_head.start_head(Path(folder), Path(folder) / "ray", cpus=2, first_port=24101)
        drivers = []
        try:
            ray_head.await_head(started)
            for where in ("elsewhere", "waiting"):
                command = [sys.executable, "-c", LOSER, started.address, started.token, str(tmp_path / where), where]
                drivers.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            deadline = time.monotonic() + 120
            while len(list(tmp_path.iterdir())) < len(drivers):
                assert time.monotonic() < deadline
                assert all(driver.poll() is None for driver in drivers)
                time.sleep(0.05)
            time.sleep(1.0)  # until both wait
            os.killpg(started.pid, signal.SIGKILL)
            begun = time.monotonic()
            said = [driver.communicate(timeout=120) for driver in drivers]
            assert time.monotonic() - begun < 40
        finally:
            for driver in drivers:
                driver.kill()
                driver.communicate()
            ray_head.stop(started)
    for driver, (out, err) in zip(drivers, said, strict=True):
        assert (driver.returncode, err) == (0, "")
        (line,) = out.splitlines()
        assert line.startswith(f"the Ray cluster at {started.address} has ended: start it again")


# a head and its only child, which ends with it; with so much memory that takes the kernel a while
LISTENER = """
import socket, time
from atelier.tasks.runtime.processes import die_with_parent
die_with_parent()
with socket.socket() as server:
    server.bind(("127.0.0.1", 0))
    server.listen()
    memory = b"x" * 400_000_000
    print(server.getsockname()[1], flush=True)
    time.sleep(600)
"""
LEADER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {LISTENER!r}])"


def test_a_child_that_the_kernel_ends_with_its_head_is_waited_for(tmp_path: Path) -> None:
    """It has no command and no environment any more, and still its port, which the next head is given."""
    token = str(tmp_path / "token")
    variables = os.environ | {"RAY_AUTH_TOKEN_PATH": token}
    command = [sys.executable, "-c", LEADER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=variables, start_new_session=True) as leader:
        assert leader.stdout
        port = int(leader.stdout.readline())
        created = psutil.Process(leader.pid).create_time()
        leader.kill()
    ray_head.stop(ray_head.RayHead("127.0.0.1:9", token, str(tmp_path / "ray"), leader.pid, created))
    with socket.socket() as next_one:
        next_one.bind(("127.0.0.1", port))


def test_only_this_machine_reaches_it(head: ray_head.RayHead) -> None:
    assert stat.S_IMODE(Path(head.token).stat().st_mode) == 0o600
    for process in psutil.process_iter():
        if _session(process.pid) == head.pid:
            for connection in process.net_connections(kind="inet"):
                if connection.status == psutil.CONN_LISTEN:
                    assert connection.laddr.ip in ("127.0.0.1", "::ffff:127.0.0.1"), process.cmdline()


def test_an_address_without_an_answer_fails_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(ConnectionError, match=f"127.0.0.1:{port}.*unset RAY_ADDRESS"):
            cluster.probe(f"127.0.0.1:{port}")
        unused.listen()  # and never answers
        with pytest.raises(ConnectionError, match=f"127.0.0.1:{port}"):
            cluster.probe(f"127.0.0.1:{port}")
    with pytest.raises(ValueError, match="HOST:PORT"):
        cluster.probe("auto")


def test_a_head_with_a_too_long_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="40 characters"):
        ray_head.start_head(tmp_path, tmp_path / ("x" * 40))
