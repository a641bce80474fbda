"""A schedule that is served really fires: a broken scheduler shows in nothing else.

The sixth field of a cron expression counts seconds, so that nobody has to wait for the minute.
"""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from atelier.flows.control_plane.prefect_server import ask
from atelier.flows.schedule import serve_schedule

pytestmark = pytest.mark.long

SERVED = """
import sys
from pathlib import Path
from prefect import flow

@flow
def tick():
    with Path(sys.argv[1]).open("a") as file:
        print("fired", file=file)

if __name__ == "__main__":
    tick.serve(name="every-two-seconds", cron="* * * * * */2", limit=1, pause_on_shutdown=False,
               print_starting_message=False)
"""

# as in a script's background, where SIGINT is ignored
SERVING = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.SIG_IGN)
from atelier.flows.schedule import serve_schedule
serve_schedule(Path(sys.argv[1]), "0 2 1 1 *", "UTC")
"""


@pytest.mark.usefixtures("api")
def test_a_served_cron_fires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_RUNNER_POLL_FREQUENCY", "1")
    script, fired = tmp_path / "served.py", tmp_path / "fired"
    script.write_text(SERVED.replace("sys.argv[1]", repr(str(fired))))
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([sys.executable, str(script)], stdout=log, stderr=log)
        try:
            assert _appears(fired, seconds=150), (tmp_path / "log").read_text()[-2000:]
        finally:
            server.terminate()
            server.wait(30)


def test_a_schedule_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--cron: 'every night' is no schedule: give five fields"):
        serve_schedule(tmp_path, "every night", "UTC")


def test_sigterm_ends_what_serves(api: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SERVING, tmp_path / "studio"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stderr
        try:
            assert "serving retrain/studio" in serving.stderr.readline()
            end = time.monotonic() + 60
            while ("studio", "READY") not in {
                (one["name"], one["status"]) for one in ask(api, "/deployments/filter", {}, timeout_s=20)
            }:
                assert time.monotonic() < end, "nobody asks for runs"
                time.sleep(0.2)
            serving.terminate()
            assert serving.wait(60) == 0
        finally:
            serving.kill()
    names = {one["name"] for one in ask(api, "/deployments/filter", {}, timeout_s=20)}
    assert names >= {"studio", "studio-approval"}, "no two are called alike"


def _appears(path: Path, seconds: int) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not path.exists():
        time.sleep(0.2)
    return path.exists()
