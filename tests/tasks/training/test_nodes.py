"""Training on a real cluster of two nodes, one of which is lost in the middle and comes back."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from atelier.tasks.runtime.progress import Progress, silent
from atelier.tasks.training.journal import JOURNAL
from atelier.tasks.training.train import train
from tests.tasks.nodes import Nodes
from tests.tasks.training.test_train import LOOP, make_training_set
from tests.tasks.training.test_workers import GENTLE, curves

SPREAD = replace(GENTLE, workers=2, max_failures=1, loop=replace(LOOP, steps=20, checkpoint_every=1, sample_every=20))
# a driver in a process of its own: this one is connected to the tests' shared cluster
DRIVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from atelier.tasks.runtime import cluster
from atelier.tasks.training import placement
from tests.tasks.training.test_nodes import SPREAD, tell, train
placement.GROW_EVERY_S = 1.0
address, work, data = sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
cluster.connect(address)
print("nodes", len(cluster.preflight(work)), flush=True)
summary = train(SPREAD, data, work / "model", work / "checkpoints", work / "logs", tell)
print("workers", summary.workers, flush=True)
"""


def tell(progress: Progress) -> None:
    """What the driver says of its progress."""
    print(progress.done, progress.note, flush=True)


def _until(driver: "subprocess.Popen[str]", true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert driver.poll() is None, "the training ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _entries(work: Path, kind: str) -> list[dict[str, Any]]:
    """Of the journal, whole lines only."""
    lines = [line for path in work.glob(f"checkpoints/*/{JOURNAL}") for line in path.read_text().split("\n")[:-1]]
    return [entry for line in lines if line.endswith("}") and (entry := json.loads(line))["kind"] == kind]


@pytest.mark.slow
def test_a_node_is_lost_and_comes_back(nodes: Nodes, tmp_path: Path) -> None:
    data, work = make_training_set(tmp_path / "augmented"), tmp_path / "work"
    work.mkdir()
    second = nodes.start("--address", nodes.address)
    nodes.await_raylets(2)
    root = os.fspath(Path(__file__).parents[3])
    command = [sys.executable, "-c", DRIVER, root, nodes.address, os.fspath(work), os.fspath(data)]
    # every checkpoint waits until Ray has looked: so no step is faster than a second
    environment = nodes.environment | {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as driver:
        _until(driver, lambda: len(_entries(work, "losses")) > 2)
        nodes.raylet_of(second).kill()
        _until(driver, lambda: len(_entries(work, "start")) == 2)
        third = nodes.start("--address", nodes.address)
        _until(driver, lambda: len(_entries(work, "start")) == 3)
        assert driver.stdout
        said = driver.stdout.read().splitlines()
    assert driver.returncode == 0, said
    nodes.raylet_of(third).kill()
    for raylet in (second, third):
        raylet.wait()

    assert said[:2] == ["nodes 2", "0 starting: 2 × 1 CPUs, encoder efficientnet_lite0"]
    assert [line.split("workers: ")[1] for line in said if "continuing" in line] == ["1", "2"]
    assert said[-1] == "workers 2"
    alone = replace(SPREAD, workers=0)
    train(alone, data, tmp_path / "model", work / "checkpoints", tmp_path / "logs", silent)
    undisturbed, disturbed = curves(tmp_path / "logs"), curves(work / "logs")
    assert disturbed.keys() == undisturbed.keys()
    for name, values in undisturbed.items():
        assert disturbed[name] == pytest.approx(values, rel=1e-2, abs=1e-4), name
    expected, found = (load_file(folder / "generator.safetensors") for folder in (tmp_path / "model", work / "model"))
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=5e-5)
