"""`atelier stylize` as a flow: stopped by a person, it ends in a final state and can be continued."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import psutil
import pytest

from atelier.flows.control_plane.prefect_server import ask
from atelier.flows.watch import seconds
from atelier.tasks.images.codec import encode
from tests.flows.conftest import Atelier

PICTURES = 300  # of 256 px: more than a job paints while `status` is asked


def last_run_of(api: str, name: str) -> dict[str, Any]:
    """The latest flow run of this name."""
    asked = {"flow_runs": {"name": {"any_": [name]}}, "sort": "START_TIME_DESC", "limit": 1}
    (run,) = ask(api, "/flow_runs/filter", asked, timeout_s=10)
    return dict(run)


def cancel(api: str, run: str) -> None:
    """As the button in Prefect's pages does."""
    ask(api, f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}, "force": True}, timeout_s=10)


def test_a_job_that_a_person_stops_ends_within_ten_seconds_in_a_final_state(
    tmp_path: Path, environment: dict[str, str], atelier: Atelier, plane: str
) -> None:
    (tmp_path / "in").mkdir()
    for index in range(PICTURES):
        pixels = np.random.default_rng(index).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        (tmp_path / f"in/{index}.png").write_bytes(encode(pixels, "png"))
    out = tmp_path / "restyled"
    arguments = ["stylize", tmp_path / "in", out, "--model", "starter/monet"]
    command = [Path(sys.executable).with_name("atelier"), *arguments]
    for how, final, code in (
        ("cancelled in Prefect, which ends watching", "CANCELLED", 1),
        ("Ctrl-C", "CRASHED", 130),
        ("SIGTERM", "CRASHED", 143),
    ):
        before = len(list(out.glob("*.png")))
        watch = ["--every", "1s"] if code == 1 else []
        running = subprocess.Popen([*command, *watch], env=environment, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 120
        while len(list(out.glob("*.png"))) < before + 3:
            assert running.poll() is None, running.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.05)
        if how == "Ctrl-C":
            going = json.loads(atelier("status", "--json").stdout)["running"]
            assert [run["name"] for run in going] == ["stylize restyled"]
            assert "images" in going[0]["progress"]
        if how in ("Ctrl-C", "SIGTERM"):
            running.send_signal(signal.SIGINT if how == "Ctrl-C" else signal.SIGTERM)
        else:
            cancel(plane, last_run_of(plane, "stylize restyled")["id"])
        begun = time.monotonic()
        _, said = running.communicate(timeout=60)
        assert running.returncode == code, said
        assert re.search("the same command again (to )?continue", said.splitlines()[-1])
        ours = ("using ", "stylize ", *(["looking "] if watch else []))
        others = [line for line in said.splitlines()[:-1] if not line.startswith(ours)]
        assert others == [], "nothing of Ray's or Prefect's own"
        assert time.monotonic() - begun < 20  # ten, and what Prefect takes to end on a busy machine
        assert last_run_of(plane, "stylize restyled")["state_type"] == final
        written = json.loads((out / "_atelier/summary.json").read_text())
        assert written["pending"] > 0
        assert written["total"] == PICTURES

    done = atelier(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"] == PICTURES


@pytest.mark.usefixtures("plane")
def test_standard_output_is_the_results_alone_though_a_worker_is_killed(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """Ray tells of the death on standard output."""
    (tmp_path / "in").mkdir()
    for number in range(60):
        draw(tmp_path / f"in/{number}.png", number, 256)
    out = tmp_path / "out"
    command = [Path(sys.executable).with_name("atelier"), "stylize", tmp_path / "in", out, "--model", "starter/monet"]
    running = subprocess.Popen([*command, "--json"], env=environment, stdout=PIPE, stderr=PIPE, text=True)
    end = time.monotonic() + 300
    while len(list(out.glob("*.png"))) < 3:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    raylet = json.loads((Path(environment["ATELIER_HOME"]) / "control-plane.json").read_text())["ray"]["pid"]
    workers = [child for child in psutil.Process(raylet).children(recursive=True) if "PoolWorker" in child.name()]
    workers[0].kill()
    made, said = running.communicate(timeout=300)
    assert running.returncode == 0, said
    assert json.loads(made)["done"] == 60


def draw(file: Path, seed: int, side: int = 64) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file.write_bytes(encode(pixels, "png"))


@pytest.mark.usefixtures("plane")
def test_watched_pictures_are_restyled_once(tmp_path: Path, environment: dict[str, str]) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()  # it may be empty
    command = [Path(sys.executable).with_name("atelier"), "stylize", source, out, "--model", "starter/monet"]
    with (tmp_path / "said").open("w") as said:
        watching = subprocess.Popen([*command, "--every", "1s"], env=environment, stdout=said, stderr=said)
    try:
        painted: dict[str, int] = {}
        for number in (1, 2):
            draw(source / f"{number}.png", number)
            end = time.monotonic() + 120
            while not (out / f"{number}.png").exists() or (out / "_atelier/running").exists():
                assert watching.poll() is None, (tmp_path / "said").read_text()
                assert time.monotonic() < end
                time.sleep(0.1)
            painted |= {file.name: file.stat().st_mtime_ns for file in out.glob("*.png") if file.name not in painted}
        assert {file.name: file.stat().st_mtime_ns for file in out.glob("*.png")} == painted
    finally:
        watching.send_signal(signal.SIGINT)  # the run is ending, or has ended
        try:
            assert watching.wait(60) == 130
        finally:
            watching.kill()
            watching.wait()
    assert "looking into" in (tmp_path / "said").read_text()


@pytest.mark.parametrize(("text", "expected"), [("30s", 30), ("1m", 60), ("1.5h", 5400), ("2", 2)])
def test_a_time_is_read(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "0s", "-1m", "1d"])
def test_another_text_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 30s, 1m or 2h"):
        seconds(text)
