"""What a worker does when its destination fails in the middle of a block, and what the next run finds."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from atelier.models.card import identify
from atelier.models.controls import Controls
from atelier.tasks.bulk.inputs import list_inputs
from atelier.tasks.bulk.job import open_job
from atelier.tasks.bulk.messages import JobSpec, JobStep, picture_tasks
from atelier.tasks.bulk.worker import StylizeWorker
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.execution_plan import Execution, ExecutionPlan
from atelier.tasks.storage.local_folder import LocalFolder


class FailingOnce(LocalFolder):
    """A disk on which one step fails once."""

    step, good = "", 0  # which, and how often it works before

    def _count(self, step: str) -> None:
        if step == self.step:
            self.good -= 1
            if self.good == -1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _fill(self, temporary: Path, data: Any) -> None:
        super()._fill(temporary, data)
        self._count("write")

    def _rename(self, temporary: Path, target: Path) -> None:
        self._count("rename")
        super()._rename(temporary, target)

    def _sync_folder(self, folder: Path) -> None:
        super()._sync_folder(folder)
        self._count("sync")


@pytest.fixture
def tasks(tmp_path: Path) -> pa.Table:
    """Six pictures, in three folders of the destination."""
    for index in range(6):
        path = tmp_path / f"in/{index % 3}/{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    inputs = list_inputs(["in"], tmp_path)
    return picture_tasks(inputs, inputs["input"])


def _worker(destination: Path, model: Path) -> StylizeWorker:
    execution = Execution(ExecutionPlan(version=torch.__version__))
    step = JobStep(model, identify(model, "m", "v1"), Controls(), execution)
    return StylizeWorker(JobSpec(destination, (step,), StylizeConfig(), 1))


def _outputs(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


@pytest.fixture
def calm(tmp_path: Path, tasks: pa.Table, tiny_model: Path) -> dict[str, bytes]:
    """The outputs of a worker that nothing happened to."""
    with open_job(tmp_path / "calm"):
        assert set(_worker(tmp_path / "calm", tiny_model)(tasks)["state"].to_pylist()) == {"done"}
    return _outputs(tmp_path / "calm")


# of the sync of folders, three make the folders durable, and the fourth comes after all outputs
@pytest.mark.parametrize(("step", "good"), [("write", 2), ("rename", 2), ("sync", 1), ("sync", 3)])
def test_a_failing_disk_stops_the_worker_and_the_next_one_completes(
    tmp_path: Path, tasks: pa.Table, calm: dict[str, bytes], tiny_model: Path, step: str, good: int
) -> None:
    out = tmp_path / "out"
    with open_job(out) as job:
        job.start_run(job.state(tasks))
        worker = _worker(out, tiny_model)
        failing = FailingOnce(out)
        failing.step, failing.good = step, good
        worker.write.destination = failing
        answer = worker(tasks)
        assert answer["state"].to_pylist() == ["pending"]
        assert "Input/output error): repair that and run the same command again" in answer["reason"].to_pylist()[0]
        assert not list(out.rglob("*.tmp"))
        assert _outputs(out).items() <= calm.items()
        assert job.state(tasks).counts["pending"] == 6  # what was not recorded does not count
        assert set(_worker(out, tiny_model)(tasks)["state"].to_pylist()) == {"done"}
        assert job.state(tasks).counts["done"] == 6
    assert _outputs(out) == calm


def test_a_full_disk_stops_the_worker_and_with_space_the_next_one_completes(
    small_disk: Path, tasks: pa.Table, calm: dict[str, bytes], tiny_model: Path
) -> None:
    out = small_disk / "out"
    with open_job(out) as job:
        job.start_run(job.state(tasks))
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(2**20 - 64 * 2**10))  # leaves room for some of the outputs
        answer = _worker(out, tiny_model)(tasks)
        assert answer["state"].to_pylist() == ["pending"]
        assert "No space left on device" in answer["reason"].to_pylist()[0]
        assert not list(out.rglob("*.tmp"))
        assert _outputs(out).items() <= calm.items()
        assert job.state(tasks).counts["pending"] == 6
        ballast.unlink()
        assert set(_worker(out, tiny_model)(tasks)["state"].to_pylist()) == {"done"}
        assert job.state(tasks).counts["done"] == 6
    assert _outputs(out) == calm


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """A worker sets the threads of its process."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
