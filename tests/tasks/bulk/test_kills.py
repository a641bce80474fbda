"""Bulk jobs whose processes are killed for real: driver, workers, workers in the middle of a write, a whole node."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from atelier.models.card import ModelIdentity
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.stylize import stylize
from atelier.tasks.storage.destination import TEMPORARY_PREFIX
from atelier.tasks.storage.local_folder import LocalFolder
from tests.tasks.bulk.test_stylize import (
    CONFIG,
    _already,
    _driver,
    _picture,
    _tree,
    identity,  # noqa: F401  a fixture
    model,  # noqa: F401  a fixture
)
from tests.tasks.nodes import Nodes

PICTURES = 24  # for every driver that is killed
PATIENCE_S = 120.0


def _until(true: Callable[[], bool], driver: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert driver.poll() is None, "the job ended before its moment came"
        assert time.monotonic() < end, "its moment did not come"
        time.sleep(0.002)


def _new(out: Path, since: int) -> int:
    """Outputs that were written after a moment, in nanoseconds since the epoch."""
    count = 0
    for path in out.rglob("[0-9]*.png"):
        with contextlib.suppress(FileNotFoundError):
            count += path.stat().st_mtime_ns > since
    return count


def _workers(below: psutil.Process | None = None) -> list[psutil.Process]:
    found = []
    for process in (below or psutil.Process()).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline())
            if ("PoolWorker" in title or "StylizeBlock" in title) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _kill_a_worker(out: Path, driver: "subprocess.Popen[bytes]") -> None:
    _until(lambda: bool(_workers()), driver)
    _workers()[0].kill()


def _kill_in_a_write(out: Path, driver: "subprocess.Popen[bytes]") -> None:
    """Hold the workers again and again until one has a file half written, and kill them there."""

    def half_written() -> bool:
        workers = _workers()
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.suspend()
        half = any(
            path.name.startswith(TEMPORARY_PREFIX) for folder in (out, *out.glob("[0-9]")) for path in folder.glob(".*")
        )
        for worker in workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill() if half else worker.resume()
        return half

    _until(half_written, driver)


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize(
    ("deeds", "stages"),
    [
        pytest.param([_kill_a_worker, _kill_in_a_write], "together", id="each once"),
        pytest.param([_kill_a_worker] * 25, "together", marks=pytest.mark.slow, id="workers"),
        pytest.param([_kill_in_a_write] * 25, "together", marks=pytest.mark.slow, id="writes"),
        pytest.param([_kill_a_worker] * 25, "apart", marks=pytest.mark.slow, id="workers apart"),
    ],
)
def test_deaths_at_any_moment_leave_the_bytes_of_a_job_that_was_never_disturbed(
    tmp_path: Path,
    model: Path,  # noqa: F811
    identity: ModelIdentity,  # noqa: F811
    deeds: list[Callable[[Path, "subprocess.Popen[bytes]"], None]],
    stages: str,
) -> None:
    """Each run loses a worker at its moment, and then the driver at another."""
    import ray

    pictures = PICTURES * len(deeds)
    for index in range(pictures):
        _picture(tmp_path / f"in/{index % 3}/{index}.png", index, (90, 80))
    (tmp_path / "in/broken.png").write_bytes(b"broken")
    source, calm, out = str(tmp_path / "in"), tmp_path / "calm", tmp_path / "out"
    assert stylize(StylizeRequest((source,), calm, model, CONFIG, identity), connect=_already).done == pictures

    address = ray.get_runtime_context().gcs_address
    random = np.random.default_rng(len(deeds))
    for deed in deeds:
        begun = time.time_ns()
        driver = _driver(source, out, model, address, stages=stages)
        first, last = np.sort(random.integers(0, 8, 2)).tolist()
        try:
            # one death of a worker in a run: at the second, what it has in hand is suspect, and rightly so
            _until(lambda begun=begun, first=first: _new(out, begun) > first, driver)  # type: ignore[misc]
            deed(out, driver)
            _until(lambda begun=begun, last=last: _new(out, begun) > last, driver)  # type: ignore[misc]
        finally:
            driver.kill()
            driver.wait(60)
        written = {name: data for name, data in _tree(out).items() if TEMPORARY_PREFIX not in name}
        cut = [name for name, data in written.items() if not data.endswith(b"IEND\xaeB`\x82")]
        assert not cut, "outputs under their final names"

    summary = stylize(StylizeRequest((source,), out, model, CONFIG, identity), connect=_already)
    assert (summary.total, summary.done, summary.quarantined, summary.pending) == (pictures + 1, pictures, 1, 0)
    assert _tree(out) == _tree(calm)
    assert LocalFolder(out).remove_leftovers() == 0


NODE_DRIVER = """
import sys
from pathlib import Path
from atelier.tasks.runtime import cluster
from atelier.models.card import identify
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.stylize import stylize
from atelier.tasks.inference.config import StylizeConfig

source, destination, model, address = sys.argv[1:]
identity = identify(Path(model), "style-model", "v1")
stylize(StylizeRequest((source,), Path(destination), Path(model), StylizeConfig(format="png"), identity),
        connect=lambda: cluster.connect(address))
"""


@pytest.mark.slow
def test_a_node_is_lost_and_the_job_finishes(
    tmp_path: Path,
    model: Path,  # noqa: F811
    nodes: Nodes,
) -> None:
    for index in range(PICTURES):
        _picture(tmp_path / f"in/{index}.png", index, (180, 160))
    second = nodes.start("--address", nodes.address)
    nodes.await_raylets(2)
    out = tmp_path / "out"
    command = [sys.executable, "-c", NODE_DRIVER, str(tmp_path / "in"), str(out), str(model), nodes.address]
    with subprocess.Popen(command, env=nodes.environment) as driver:
        raylet = nodes.raylet_of(second)
        _until(lambda: bool(_workers(raylet)) and _new(out, 0) > 0, driver)
        raylet.kill()
        assert driver.wait(PATIENCE_S) == 0
    second.wait()
    written = json.loads((out / "_atelier/summary.json").read_text())
    assert (written["done"], written["pending"]) == (PICTURES, 0)
    assert set(_tree(out)) == {f"{index}.png" for index in range(PICTURES)}
    assert LocalFolder(out).remove_leftovers() == 0
