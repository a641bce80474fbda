"""A live night that is killed at seeded moments: all is as before or as after it, and the next night ends well."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from atelier.tasks.registry.resolve import resolve
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.repository import git
from tests.flows.conftest import Atelier
from tests.flows.studio import new_studio

DECISIONS = ("promoted", "prod already", "nothing changed")  # of the night after a kill, by how far the other one came


def killed_after(command: list[str | Path], environment: dict[str, str], seconds: float, group: bool) -> bool:
    """Kill a command after some time, with its process group or alone; whether it still ran. No child survives it."""
    night = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        night.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        children = psutil.Process(night.pid).children(recursive=True)
        (os.killpg if group else os.kill)(night.pid, signal.SIGKILL)
        night.wait()
        assert psutil.wait_procs(children, timeout=30)[1] == []
        return True


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kills", [25])
def test_a_night_that_is_killed_at_any_moment(
    tmp_path: Path, atelier: Atelier, environment: dict[str, str], plane: str, kills: int
) -> None:
    """Every night trains another model; the one after a kill finishes what was left."""
    studio = new_studio(atelier, tmp_path, retries=0)
    root = studio.root
    begun = time.monotonic()
    assert studio.night()["decision"] == "promoted"
    length = 0.8 * (time.monotonic() - begun)  # the next ones find the dataset made
    command = [Path(sys.executable).with_name("atelier"), "retrain", "--workspace", root]
    killed = 0
    for seed, moment in enumerate(np.random.default_rng(kills).uniform(0.15, 1.0, kills), 1):
        studio.learn_anew(seed)
        before, where = studio.snapshot(), f"killed at {moment:.2f} of {length:.0f} s, {seed}"
        killed += killed_after(command, environment, moment * length, group=bool(seed % 2))
        after = studio.snapshot()
        resolve(Workspace(root), f"style-model@{after['prod']}")  # its bytes are here
        assert studio.night()["decision"] in DECISIONS, where
        end = studio.snapshot()
        assert end["prod"] != before["prod"], f"{where}: the model that was trained is prod"
        assert end["current"] == end["prod"]
        for what in ("head", "prod", "model", "current"):
            assert after[what] in (before[what], end[what]), f"{where}: {what}"
        for name, data in after["files"].items():
            assert data in (before["files"].get(name), end["files"].get(name)), f"{where}: {name}"
        assert git(root, "status", "--porcelain", "--", ":!params.yaml") == "", where
    assert killed > kills // 2
