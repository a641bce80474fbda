"""`atelier stylize` as a flow: stopped by a person, it ends in a final state and can be continued."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
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
LEFT = 60  # of them for the last run: more than it paints while one of its workers is killed


def last_run_of(api: str, name: str) -> dict[str, Any]:
    """The latest flow run of this name."""
    asked = {"flow_runs": {"name": {"any_": [name]}}, "sort": "START_TIME_DESC", "limit": 1}
    (run,) = ask(api, "/flow_runs/filter", asked, timeout_s=10)
    return dict(run)


def cancel(api: str, run: str) -> None:
    """As the button in Prefect's pages does."""
    ask(api, f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}, "force": True}, timeout_s=10)


def draw(file: Path, seed: int, side: int = 64) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file.write_bytes(encode(pixels, "png"))


def started(command: Sequence[str | Path], environment: dict[str, str], out: Path) -> "subprocess.Popen[str]":
    """A command that has painted three more pictures."""
    before, end = len(list(out.glob("*.png"))), time.monotonic() + 300
    running = subprocess.Popen(command, env=environment, stdout=PIPE, stderr=PIPE, text=True)
    while len(list(out.glob("*.png"))) < before + 3:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    return running


def test_a_job_that_a_person_stops_ends_within_ten_seconds_in_a_final_state(
    tmp_path: Path, environment: dict[str, str], atelier: Atelier, plane: str
) -> None:
    """And the last run finishes it, though it loses a worker."""
    (tmp_path / "in").mkdir()
    for index in range(PICTURES):
        draw(tmp_path / f"in/{index}.png", index, 256)
    out = tmp_path / "restyled"
    command = [Path(sys.executable).with_name("atelier"), "stylize", tmp_path / "in", out, "--model", "starter/monet"]
    for how, final, code in (
        ("cancelled in Prefect, which ends watching", "CANCELLED", 1),
        ("Ctrl-C", "CRASHED", 130),
        ("SIGTERM", "CRASHED", 143),
    ):
        watch = ["--every", "1s"] if code == 1 else []
        running = started([*command, *watch], environment, out)
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

    for picture in sorted(path for path in (tmp_path / "in").iterdir() if not (out / path.name).exists())[LEFT:]:
        picture.unlink()
    total = len(list((tmp_path / "in").iterdir()))
    running = started([*command, "--json"], environment, out)
    raylet = json.loads((Path(environment["ATELIER_HOME"]) / "control-plane.json").read_text())["ray"]["pid"]
    workers = [child for child in psutil.Process(raylet).children(recursive=True) if "PoolWorker" in child.name()]
    workers[0].kill()
    made, said = running.communicate(timeout=300)
    assert running.returncode == 0, said
    found = json.loads(made)  # standard output is the results alone, though Ray tells there of the death
    assert (found["done"], found["total"]) == (total, total)


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
