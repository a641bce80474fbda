"""Up, down, status, and what a command uses: with real servers, real kills."""

import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from atelier.flows.cli.status import collect
from atelier.flows.control_plane import prefect_server
from atelier.flows.control_plane.plane import ControlPlane, down, recorded, status, up
from atelier.flows.control_plane.prefect_server import PrefectServer
from atelier.flows.control_plane.session import use
from atelier.tasks.runtime import ray_head
from atelier.tasks.runtime.cluster import ExternalCluster
from atelier.tasks.runtime.ray_head import RayHead
from tests.flows.small import asked

pytestmark = pytest.mark.long

USE = (
    "import os, sys, time\nfrom atelier.flows.control_plane.session import use\n"
    "with use(say=lambda s: print(s, flush=True)):\n"
)


@pytest.fixture(scope="module")
def state(new_home: Callable[[], Path]) -> Iterator[Path]:
    """A state folder of its own for all of these tests, and an environment that names nothing."""
    with pytest.MonkeyPatch.context() as patch:
        folder = new_home()
        patch.setenv("ATELIER_HOME", str(folder))
        for name in (
            "PREFECT_API_URL",
            "PREFECT_API_AUTH_STRING",
            "RAY_ADDRESS",
            "RAY_AUTH_TOKEN",
            "RAY_AUTH_TOKEN_PATH",
        ):
            patch.delenv(name, raising=False)
        # what is killed here gets its ports back: nobody else looks for any there meanwhile
        patch.setattr(prefect_server, "FIRST_PORT", 4700)
        patch.setattr(ray_head, "FIRST_PORT", 23001)
        yield folder
        down()


def run(code: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | variables,
    )


def kill(one: PrefectServer | RayHead | ExternalCluster) -> None:
    """As the kernel does, without a word."""
    assert not isinstance(one, ExternalCluster)
    os.kill(one.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while one.alive:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_down_leaves_nothing(plane: ControlPlane) -> None:
    assert isinstance(plane.ray, ray_head.RayHead)
    everyone = [psutil.Process(pid) for pid in (plane.prefect.pid, plane.ray.pid)]
    everyone += [child for one in everyone for child in one.children(recursive=True)]
    assert len(everyone) > 4
    assert down() == ("Prefect server", "Ray head")
    assert [p for p in everyone if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    assert not Path(plane.ray.temp).parent.exists()


def assert_strangers_are_refused(plane: ControlPlane, home: Path) -> None:
    """Other users and pages in a browser: without the password, by a foreign name, from another origin."""
    _, words = (home / "prefect.password").read_text().splitlines()
    assert (home / "prefect.password").stat().st_mode & 0o777 == 0o600
    started = psutil.Process(plane.prefect.pid)
    assert [line for p in (started, *started.children(recursive=True)) for line in p.cmdline() if words in line] == []
    url = urlsplit(plane.prefect_url)
    right = "Basic " + base64.b64encode(words.encode()).decode()
    wrong = "Basic " + base64.b64encode(b"atelier:guessed").decode()

    def answer(host: str | None, *, method: str = "POST", path: str = "/api/deployments/filter", **headers: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", url.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        said = {"Host": host or url.netloc, "Connection": "close"} | named
        if method == "POST":
            said["Content-Type"] = "application/json"
        connection.request(method, path, "{}" if method == "POST" else None, said)
        got = connection.getresponse()
        connection.close()
        return got

    assert answer(None, Authorization=right).status == 200
    assert answer(f"localhost:{url.port}", Authorization=right).status == 200
    assert answer(None, method="GET", path="/", Authorization="").status in (200, 307), "Prefect's pages ask for it"
    for path in ("/api/deployments/filter", "/api/flow_runs/filter", "/api/admin/database/clear"):
        assert answer(None, path=path).status == 401
        assert answer(None, path=path, Authorization=wrong).status == 401
    for host in ("evil.example", f"evil.example:{url.port}", "127.0.0.1.evil.example", "", "0.0.0.0", "localhost.evil"):
        assert answer(host or "x", Authorization=right).status == 400
        assert answer(host or "x", method="GET", path="/api/health").status == 400
    asks = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type,authorization"}
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{(url.port or 0) + 1}"):
        found = answer(None, method="OPTIONS", Origin=origin, **asks)
        assert found.getheader("Access-Control-Allow-Origin") is None
    for words_given in ({}, {"Sec_WebSocket_Protocol": "prefect"}):
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"} | words_given
        key = {"Sec_WebSocket_Key": base64.b64encode(bytes(16)).decode()}
        for path in ("/api/events/in", "/api/events/out", "/api/logs/out"):
            assert answer("evil.example", method="GET", path=path, **upgrade, **key).status in (400, 403)
            if not words_given:
                assert answer(None, method="GET", path=path, **upgrade, **key).status == 403
    everywhere = [c for c in psutil.Process(plane.prefect.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert {c.laddr.ip for c in everywhere} == {"127.0.0.1"}

    atelier = [str(Path(sys.executable).with_name("atelier"))]
    command = [*atelier, "ui", "--prefect"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=without_display())
    assert shown.stdout == f"open {plane.ui_url} and paste this password: {words}\n"
    page = (home / "prefect.html").read_text()
    assert (home / "prefect.html").stat().st_mode & 0o777 == 0o600
    assert f"{plane.ui_url}/atelier-sign-in#{right.removeprefix('Basic ')}" in page
    assert answer(None, method="GET", path="/atelier-sign-in").status == 200
    by_hand = f'eval "$({atelier[0]} env)" && {Path(sys.executable).with_name("prefect")} flow-run ls'
    done = subprocess.run(["sh", "-c", by_hand], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    named = run(USE + "    print(os.environ['PREFECT_API_AUTH_STRING'])", PREFECT_API_URL=plane.prefect_url)
    assert named.stdout.splitlines()[-1] == words, "who named our server before it had a password goes on"


def without_display() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}


def test_up_once_used_by_commands_mended_and_down_without_a_trace(state: Path) -> None:
    assert status() is None
    plane = up()
    assert plane.started == ("Prefect server", "Ray cluster")
    assert (up(), status()) == (recorded(),) * 2, "the second up starts nothing"
    assert plane.ui_url in plane.sentence
    assert plane.ray_address in plane.sentence
    body = (
        "    from prefect import flow\n    from atelier.tasks.runtime import cluster\n"
        "    print(cluster.connect().address, os.environ['PREFECT_API_URL'])\n"
        "    @flow\n    def hello():\n        return 42\n    print(hello())\n"
    )
    done = run(USE + body)
    said, connected, answer = done.stdout.splitlines()
    assert said.startswith("using the Prefect server at"), done.stderr
    assert said.count("(atelier up)") == 2
    assert connected == f"{plane.ray_address} {plane.prefect_url}"
    assert answer == "42"

    settings = prefect_server.ask(plane.prefect_url, "/admin/settings", timeout_s=20)
    assert "flow_runs" in settings["server"]["services"]["db_vacuum"]["enabled"], "old runs go"
    assert_strangers_are_refused(plane, state)

    kill(plane.ray)
    assert status() is None
    seen = collect(None)
    assert "does not answer: `atelier up` restarts it" in seen.summary
    assert seen.prefect is not None
    assert (seen.prefect.url, seen.prefect.problem) == (plane.prefect_url, ""), "one that is down hides no other"
    token = Path(plane.ray.token).read_text()
    mended = up()
    assert mended.started == ("Ray cluster",)
    assert (mended.prefect, mended.ray_address) == (plane.prefect, plane.ray_address)
    assert Path(mended.ray.token).read_text() == token, "programs that used the head go on with the new one"
    assert not Path(plane.ray.temp).parent.exists()

    (state / "prefect.password").unlink()  # as that of a version which asked for none
    assert status() is None
    assert up().started == ("Prefect server",)
    mended = recorded() or mended
    kill(mended.prefect)
    kill(mended.ray)
    assert collect(None).summary.count("`atelier up` restarts it") == 2
    again = up()
    assert again.started == ("Prefect server", "Ray cluster")
    assert (again.prefect_url, again.ray_address) == (plane.prefect_url, plane.ray_address)
    assert [run["state_type"] for run in asked(again.prefect_url, "flow_runs")] == ["COMPLETED"], "it forgets nothing"

    assert_down_leaves_nothing(again)
    left = {path.name for path in state.iterdir()}
    assert left - {"lock", "prefect"} == {path.name for path in state.glob("prefect-*.db")}, "no record, no secret"
    assert not down()
    assert status() is None
    assert collect(None).summary.startswith("nothing of atelier's is up")


def test_a_record_of_processes_that_are_gone_or_of_half_a_sentence_is_survived(state: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    record = state / "control-plane.json"
    gone = {
        "prefect": {"url": "http://127.0.0.1:9/api", "home": str(state), "pid": ended.pid, "created": 0.0},
        # a pid that is another's now
        "ray": {"address": "127.0.0.1:9", "token": str(state / "ray.token"), "temp": str(state / "gone" / "ray")}
        | {"pid": os.getpid(), "created": 0.0},
    }
    record.write_text(json.dumps(gone))
    assert recorded() is not None
    assert status() is None
    assert not down(), "this process is not what was started, and is still here"
    assert not record.exists()
    record.write_text("{ half a rec")
    assert status() is None
    assert not down()


def test_what_the_environment_names_must_answer(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ConnectionError, match=r"no Ray cluster answers at 127\.0\.0\.1:9"), use():
        pass
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(ConnectionError, match="no Prefect server answers"), use():
        pass
    assert recorded() is None, "nothing was started"


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_two_commands_start_one_plane_and_a_killed_one_leaves_it_up(state: Path, number: signal.Signals) -> None:
    """Both begin at the same moment; the killed one's children and Ray workers end, the plane answers.

    A Ray head that ends while it starts is started once more.
    """
    assert recorded() is None
    body = (
        "    import subprocess\n    from atelier.tasks.runtime import cluster\n"
        "    from atelier.tasks.runtime.processes import parent_death_signal\n    cluster.connect()\n    import ray\n"
        "    worker = ray.get(ray.remote(num_cpus=0)(lambda: os.getpid()).remote())\n"
        "    child = subprocess.Popen(['sleep', '100'], preexec_fn=parent_death_signal())\n"
        "    named = os.environ['PREFECT_API_URL'], os.environ['RAY_ADDRESS']\n"
        "    print('used', *named, child.pid, worker, flush=True)\n    time.sleep(100)\n"
    )
    command = [sys.executable, "-c", USE + body]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in "ab"]
    try:
        while (begun_with := recorded()) is None:
            time.sleep(0.05)
        kill(begun_with.ray)
        said: list[list[str]] = [[], []]
        for process, lines in zip(running, said, strict=True):
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if line.startswith("used"):
                    break
        used = [lines[-1].split() for lines in said]
        plane = status()
        assert plane is not None
        assert [words[1:3] for words in used] == [[plane.prefect_url, plane.ray_address]] * 2
        begun = [line for lines in said for line in lines if line.startswith("started: Prefect server")]
        assert len(begun) == 1, said
        assert "`atelier down` stops" in begun[0]

        own = [psutil.Process(int(pid)) for pid in used[0][3:]]
        running[0].send_signal(number)
        running[0].wait(60)
        assert psutil.wait_procs(own, timeout=30)[1] == []
        assert status() == plane
        assert running[1].poll() is None
        assert all(psutil.pid_exists(int(pid)) for pid in used[1][3:]), "the other command goes on"
    finally:
        for process in running:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
    assert_down_leaves_nothing(plane)


def test_importing_it_imports_neither_prefect_nor_ray() -> None:
    done = run(
        "import sys; import atelier.flows.control_plane.session; print('prefect' in sys.modules, 'ray' in sys.modules)"
    )
    assert done.stdout.split() == ["False", "False"], done.stderr
