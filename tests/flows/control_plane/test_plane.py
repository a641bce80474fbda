"""Up, down, status, and what a command uses: with real servers, real kills."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from atelier.flows.cli.status import look
from atelier.flows.control_plane import prefect_server
from atelier.flows.control_plane.plane import _short_temporary, _sweep, down, recorded, status, up, use
from atelier.flows.control_plane.prefect_server import PrefectServer
from atelier.tasks.runtime import cluster
from atelier.tasks.runtime.cluster import ExternalCluster
from atelier.tasks.runtime.ray_head import RayHead
from tests.flows.small import asked

USE = (
    "import sys, time\nfrom atelier.flows.control_plane.plane import use\n"
    "with use(say=lambda s: print(s, flush=True)) as used:\n"
)


@pytest.fixture(scope="module")
def state(new_home: Callable[[], Path]) -> Iterator[Path]:
    """A state folder of its own for all of these tests, and an environment that names nothing."""
    with pytest.MonkeyPatch.context() as patch:
        folder = new_home()
        patch.setenv("ATELIER_HOME", str(folder))
        for name in ("PREFECT_API_URL", "RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
            patch.delenv(name, raising=False)
        # what is killed here gets its ports back: nobody else looks for any there meanwhile
        patch.setattr(prefect_server, "FIRST_PORT", 4700)
        patch.setattr(cluster, "FIRST_PORT", 23001)
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


def test_up_once_used_by_commands_mended_and_down_without_a_trace(state: Path) -> None:
    assert status() is None
    plane = up(cpus=2)
    assert plane.started == ("Prefect server", "Ray cluster")
    assert (up(), status()) == (recorded(),) * 2, "the second up starts nothing"
    assert plane.ui_url in plane.sentence
    assert plane.ray_address in plane.sentence
    body = (
        "    from prefect import flow\n    from atelier.tasks.runtime import cluster\n"
        "    print(cluster.connect().address, used.prefect_url)\n"
        "    @flow\n    def hello():\n        return 42\n    print(hello())\n"
    )
    done = run(USE + body)
    said, connected, answer = done.stdout.splitlines()
    assert said.startswith("using the Prefect server at"), done.stderr
    assert said.count("(atelier up)") == 2
    assert connected == f"{plane.ray_address} {plane.prefect_url}"
    assert answer == "42"

    kill(plane.ray)
    assert status() is None
    seen = look(None)
    assert "does not answer: `atelier up` brings it back" in seen.story
    assert seen.prefect is not None
    assert (seen.prefect.url, seen.prefect.problem) == (plane.prefect_url, ""), "one that is down hides no other"
    token = Path(plane.ray.token).read_text()
    mended = up(cpus=1)
    assert mended.started == ("Ray cluster",)
    assert (mended.prefect, mended.ray_address) == (plane.prefect, plane.ray_address)
    assert Path(mended.ray.token).read_text() == token, "programs that used the head go on with the new one"
    assert not Path(plane.ray.temp).parent.exists()

    kill(mended.prefect)
    kill(mended.ray)
    assert look(None).story.count("`atelier up` brings it back") == 2
    again = up(cpus=1)
    assert again.started == ("Prefect server", "Ray cluster")
    assert (again.prefect_url, again.ray_address) == (plane.prefect_url, plane.ray_address)
    assert [run["state_type"] for run in asked(again.prefect_url, "flow_runs")] == ["COMPLETED"], "it forgets nothing"

    everyone = [psutil.Process(pid) for pid in (again.prefect.pid, again.ray.pid)]
    everyone += [child for one in everyone for child in one.children(recursive=True)]
    assert down() == ("Prefect server", "Ray head")
    assert [p for p in everyone if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    assert not Path(again.ray.temp).parent.exists()
    left = {path.name for path in state.iterdir()}
    assert left - {"lock", "prefect"} == {path.name for path in state.glob("prefect-*.db")}, "no record, no secret"
    assert not down()
    assert status() is None
    assert look(None).story.startswith("nothing of atelier's is up")


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
    with pytest.raises(ConnectionError, match="no Prefect server answers"), use(ray=False):
        pass


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_private_plane_ends_with_its_command(state: Path, number: signal.Signals) -> None:
    body = (
        "    from atelier.tasks.runtime import cluster\n    print(cluster.connect().address, flush=True)\n"
        "    time.sleep(100)\n"
    )
    command = [sys.executable, "-c", USE + body]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(3)]
        assert "this command's own" in said[1]
        assert ":" in said[2]
        everyone = psutil.Process(process.pid).children(recursive=True)
        assert len(everyone) > 4
        process.send_signal(number)
        process.wait(60)
    _, alive = psutil.wait_procs(everyone, timeout=30)
    assert alive == []
    with use(ray=False, prefect=False):
        pass
    if number == signal.SIGKILL:
        _sweep()
    assert list(_short_temporary().glob(f"atelier-run-*/*{process.pid}*")) == []


def test_importing_it_imports_neither_prefect_nor_ray() -> None:
    done = run(
        "import sys; import atelier.flows.control_plane.plane; print('prefect' in sys.modules, 'ray' in sys.modules)"
    )
    assert done.stdout.split() == ["False", "False"], done.stderr
