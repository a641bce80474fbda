"""A schedule that is served really fires: a broken scheduler shows in nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from atelier.flows import control_plane

SERVED = """
import sys
from pathlib import Path
from prefect import flow

@flow
def tick():
    with Path(sys.argv[1]).open("a") as file:
        print("fired", file=file)

if __name__ == "__main__":
    tick.serve(name="every-minute", cron="* * * * *", pause_on_shutdown=False, print_starting_message=False)
"""


def test_a_served_cron_of_every_minute_fires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_HOME", str(tmp_path / "state"))
    for name in ("PREFECT_API_URL", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    script, fired = tmp_path / "served.py", tmp_path / "fired"
    script.write_text(SERVED.replace("sys.argv[1]", repr(str(fired))))
    with control_plane.use(ray=False), (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([sys.executable, str(script)], stdout=log, stderr=log)
        try:
            assert _appears(fired, seconds=150), (tmp_path / "log").read_text()[-2000:]
        finally:
            server.terminate()
            server.wait(30)


def _appears(path: Path, seconds: int) -> bool:
    import time

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not path.exists():
        time.sleep(0.2)
    return path.exists()
