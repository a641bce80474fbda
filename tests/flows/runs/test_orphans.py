"""A flow whose process was killed: the next command ends its run, and no other's."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.flows.small import asked

pytestmark = pytest.mark.long

FLOW = """
import sys, time
from pathlib import Path
from prefect import flow
from atelier.flows.runs.orphans import tag_with_process
name, begun = sys.argv[1:]

@flow(flow_run_name=f"{name} inside")
def inner():
    Path(begun).touch()
    time.sleep(100)

@flow(flow_run_name=name)
def outer():
    tag_with_process()
    inner()

outer()
"""
REAP = "from atelier.flows.runs.orphans import end_orphans; print(*end_orphans(), sep=', ')"
FOREIGN = """
import sys
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Running

@flow
def elsewhere(): ...

with get_client(sync_client=True) as client:
    tags = ["process:another-host:1:0.00", "process"]
    client.create_flow_run(elsewhere, name="elsewhere", tags=tags, state=Running())
"""

# nobody may wait for the slot of a run that was killed
SLOT = """
import socket
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Pending, Running
from atelier.flows.runs.orphans import end_orphans

@flow
def night(): ...

with get_client(sync_client=True) as client:
    alone = {"concurrency_limit": 1, "concurrency_options": {"collision_strategy": "CANCEL_NEW"}}
    nightly = client.create_deployment(client.create_flow(night), "nightly", **alone)

    def start():
        run = client.create_flow_run_from_deployment(nightly, tags=[f"process:{socket.gethostname()}:1:0.00"])
        began = client.set_flow_run_state(run.id, Pending()).state.name
        if began == "Pending":
            client.set_flow_run_state(run.id, Running())
        return began

    print(start(), start(), bool(end_orphans()), start())
    end_orphans()
"""


def states(api: str) -> dict[str, str]:
    return {run["name"]: run["state_type"] for run in asked(api, "flow_runs")}


def test_what_was_killed_has_crashed_and_what_lives_goes_on(api: str, tmp_path: Path) -> None:
    def start(name: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", FLOW, name, str(tmp_path / name)], stderr=subprocess.DEVNULL)

    running = {name: start(name) for name in ("killed", "living")}
    try:
        subprocess.run([sys.executable, "-c", FOREIGN], check=True)
        deadline = time.monotonic() + 60
        while not all((tmp_path / name).exists() for name in running):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running["killed"].kill()
        running["killed"].wait()
        before = dict.fromkeys(("killed", "killed inside", "living", "living inside", "elsewhere"), "RUNNING")
        assert states(api) == before, "Prefect does not notice"

        done = subprocess.run([sys.executable, "-c", REAP], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "killed, killed inside", done.stderr
        assert states(api) == before | {"killed": "CRASHED", "killed inside": "CRASHED"}
        (message,) = [run["state"]["message"] for run in asked(api, "flow_runs") if run["name"] == "killed"]
        assert "its process is gone" in message
    finally:
        for process in running.values():
            process.kill()
            process.wait()


@pytest.mark.usefixtures("api")
def test_a_killed_night_does_not_keep_the_next_one_waiting() -> None:
    done = subprocess.run([sys.executable, "-c", SLOT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Pending", "Cancelled", "True", "Pending"], done.stderr


@pytest.mark.usefixtures("api")
def test_a_server_that_is_gone_keeps_nobody_from_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "0")
    done = subprocess.run([sys.executable, "-c", REAP], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
