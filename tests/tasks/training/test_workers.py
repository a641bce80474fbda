"""Training with two workers: the same as with one, the same after any kill, and with as many as there is room for."""

import csv
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from atelier.models.configs.base import OptimizerConfig
from atelier.models.watchdog import TrainingStopped
from atelier.tasks.runtime.progress import Progress, silent
from atelier.tasks.training.placement import SNAPSHOT, FitThread, Placement
from atelier.tasks.training.plan import CHECKPOINT, TrainingPlan
from atelier.tasks.training.ray_policies import PolicyTrainer, user_error
from atelier.tasks.training.train import _prepare, train
from tests.tasks.training.test_train import LOOP, TINY, _workers, make_training_set

pytestmark = pytest.mark.usefixtures("ray_cluster")

# no step is so large that float errors grow
GENTLE = replace(TINY, cpgan=replace(TINY.cpgan, optimizer=OptimizerConfig(generator_lr=1e-5, discriminator_lr=1e-5)))
TIMES = ("images_per_second", "data_wait", "memory_gb")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_training_set(tmp_path_factory.mktemp("augmented"))


def curves(logs: Path) -> dict[str, list[float]]:
    """What was logged at each step and does not depend on the machine."""
    found = {}
    for path in (logs / "plots" / "metrics").glob("*.tsv"):
        if path.stem not in TIMES:
            with path.open() as file:
                found[path.stem] = [float(row[path.stem]) for row in csv.DictReader(file, delimiter="\t")]
    return found


def open_sockets() -> dict[int, list[str]]:
    """Addresses on which the worker processes of this cluster listen, by process."""
    found: dict[int, list[str]] = {}
    for process in psutil.process_iter(["cmdline"]):
        if " ".join(process.info["cmdline"] or ()).startswith("ray::"):
            with suppress(psutil.Error):
                sockets = process.net_connections()
                found[process.pid] = [
                    one.laddr.ip.removeprefix("::ffff:") for one in sockets if one.status == psutil.CONN_LISTEN
                ]
    return found


def test_two_workers_train_what_one_trains(data: Path, tmp_path: Path) -> None:
    import ray

    node = ray.util.get_node_ip_address()
    seen: list[dict[int, list[str]]] = []
    for workers in (0, 2):
        config = replace(GENTLE, workers=workers, loop=replace(LOOP, batch_size=3))
        name = str(workers)
        look = (lambda progress: seen.append(open_sockets())) if workers else silent
        summary = train(config, data, tmp_path / name, tmp_path / "checkpoints", tmp_path / f"logs{name}", look)
        assert summary.workers == workers
    listening = {address for sockets in seen for addresses in sockets.values() for address in addresses}
    assert node in listening or "127.0.0.1" in listening, "the rendezvous was seen"
    everywhere = [len([a for a in one if a in ("0.0.0.0", "::")]) for sockets in seen for one in sockets.values()]
    # a worker's own server of Ray, which asks for the token, is bound to every interface whatever one says
    assert max(everywhere) <= 1, "PyTorch's store listens on every interface"
    assert listening <= {node, "127.0.0.1", "::1", "0.0.0.0", "::"}
    alone, together = curves(tmp_path / "logs0"), curves(tmp_path / "logs2")
    assert alone.keys() == together.keys()
    for name, values in alone.items():
        assert together[name] == pytest.approx(values, rel=1e-3, abs=1e-5), name


PAIR = Placement(workers=2, min_workers=2, now=2, cpus=1, gpu=False)
DRIVER = """
import sys
from pathlib import Path
import ray
sys.path.insert(0, {tests!r})
from tests.tasks.training.test_workers import fit
ray.init({address!r}, log_to_driver=False, logging_level="error")
fit(Path({data!r}), Path({run!r}))
"""


def fit(data: Path, run: Path) -> dict[str, torch.Tensor]:
    """The last checkpoint of a training with two workers."""
    _prepare(run, 3)
    loop = replace(LOOP, steps=16, checkpoint_every=2, sample_every=16)
    plan = TrainingPlan(
        TINY.cpgan, loop, "efficientnet_lite0", data, "photos", "paintings", None, run, PAIR.cpus, {},
        TINY.shuffle_rows, keep_checkpoints=3,
    )  # fmt: skip
    training = FitThread(plan, PAIR, max_failures=1)
    while training.running(0.1):
        pass
    training.result()
    return load_file(run / _kept(run)[-1] / "checkpoint.safetensors")


def _kept(run: Path) -> list[str]:
    """Names of the checkpoints that Ray has noted."""
    try:
        return [one["checkpoint_dir_name"] for one in json.loads((run / SNAPSHOT).read_text())["checkpoint_results"]]
    except (FileNotFoundError, ValueError):
        return []


def _wait(run: Path) -> None:
    """Until there is a checkpoint that was not there before."""
    before, deadline = set(_kept(run)), time.monotonic() + 120
    while not set(_kept(run)) - before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_kill_before_ray_noted_a_checkpoint_loses_nothing(tmp_path: Path) -> None:
    def checkpoint(name: str, keep_bytes: int | None = None) -> str:
        path = tmp_path / name / CHECKPOINT
        path.parent.mkdir()
        save_file({"step": torch.zeros(9)}, path)
        os.truncate(path, keep_bytes if keep_bytes is not None else path.stat().st_size)
        return name

    def left() -> list[str]:
        _prepare(tmp_path, 2)
        return sorted(path.name for path in tmp_path.glob("checkpoint_*/"))

    def noted(*names: str) -> None:
        listed = [{"checkpoint_dir_name": name} for name in names]
        (tmp_path / SNAPSHOT).write_text(json.dumps({"checkpoint_results": listed}))

    _, second, third = (checkpoint(f"checkpoint_{hour}") for hour in "123")
    noted(second, third)
    assert left() == [second, third], "of the first, only the folder was left"
    assert not (tmp_path / SNAPSHOT).exists()
    noted(second, third)
    checkpoint("checkpoint_4", 100)
    checkpoint("checkpoint_5", 0)
    (tmp_path / "checkpoint_6").mkdir()
    assert left() == [second, third]
    assert (tmp_path / SNAPSHOT).exists(), "Ray goes on from its own list where that is right"
    fourth = checkpoint("checkpoint_4")
    assert left() == [third, fourth]
    assert not (tmp_path / SNAPSHOT).exists(), "Ray would begin before the fourth"
    (tmp_path / SNAPSHOT).write_text('{"checkpoint_res')
    assert left() == [third, fourth]
    assert not (tmp_path / SNAPSHOT).exists(), "with half a list Ray refuses to start"


@pytest.mark.slow
def test_two_killed_workers_end_with_the_same_tensors(data: Path, tmp_path: Path) -> None:
    import ray

    undisturbed = fit(data, tmp_path / "undisturbed")
    run = tmp_path / "killed"
    assert len(_kept(tmp_path / "undisturbed")) == 3
    script = DRIVER.format(
        address=ray.get_runtime_context().gcs_address,
        tests=os.fspath(Path(__file__).parents[3]),
        data=os.fspath(data),
        run=os.fspath(run),
    )
    with subprocess.Popen([sys.executable, "-c", script]) as driver:
        _wait(run)
        assert driver.poll() is None, "the training ended before it could be killed"
        driver.kill()
        for worker in _workers():
            worker.kill()
    killed: list[int] = []

    def kill_one() -> None:
        _wait(run)
        workers = _workers()
        workers[0].kill()
        killed.append(len(workers))

    thread = threading.Thread(target=kill_one)
    thread.start()
    resumed = fit(data, run)
    thread.join()
    assert killed == [2]
    starts = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines() if '"start"' in line]
    assert len(starts) == 3
    assert 0 == starts[0]["step"] < starts[1]["step"] < starts[2]["step"] < 16
    assert resumed.keys() == undisturbed.keys()
    for name, value in undisturbed.items():
        assert torch.equal(resumed[name], value), name


@pytest.fixture
def occupied() -> Iterator[None]:
    """A half of the cluster is in use."""
    import ray

    other = ray.util.placement_group([{"CPU": 1}])
    ray.get(other.ready())
    yield
    ray.util.remove_placement_group(other)


@pytest.mark.usefixtures("occupied")
def test_it_begins_with_the_workers_that_there_is_room_for(data: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    config = replace(TINY, workers=2, max_failures=0)
    summary = train(config, data, tmp_path / "model", tmp_path / "checkpoints", tmp_path / "logs", seen.append)
    assert summary.workers == 1
    assert [p.note for p in seen[:2]] == [
        "starting: 2 × 1 CPUs, encoder efficientnet_lite0",
        "beginning, workers: 1",
    ]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_that_went_wrong_says_so_and_keeps_what_was_good(data: Path, tmp_path: Path, workers: int) -> None:
    hopeless = replace(TINY.cpgan, optimizer=OptimizerConfig(generator_lr=1e30))
    config = replace(TINY, workers=workers, cpgan=hopeless, loop=replace(LOOP, checkpoint_every=1))
    with pytest.raises(TrainingStopped, match=r"stopped at step 2: .*generator_lr") as raised:
        train(config, data, tmp_path / "model", tmp_path / "checkpoints", tmp_path / "logs", silent)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "model").exists()
    (run,) = (tmp_path / "checkpoints").iterdir()
    assert (run / "journal.jsonl").read_text().count('"start"') == 1, "no other attempt"
    (kept,) = [*run.glob("in-process-*.safetensors"), *run.glob("checkpoint_*/checkpoint.safetensors")]
    assert load_file(kept)["step"] == 1
    assert curves(tmp_path / "logs")["content"]


def test_an_error_of_one_rank_ends_the_other(tmp_path: Path) -> None:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.api.config import LoggingConfig

    attempts = tmp_path / "attempts"

    def stop() -> None:
        if ray.train.get_context().get_world_rank() == 1:
            with attempts.open("a") as file:
                file.write("one\n")
            raise TrainingStopped("it went wrong: lower the rate")
        torch.distributed.all_reduce(torch.zeros(1))  # the other rank never comes

    import ray.train

    training = PolicyTrainer(
        stop,
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(
            name="stopped",
            storage_path=os.fspath(tmp_path),
            failure_config=FailureConfig(max_failures=3),
            logging_config=LoggingConfig(log_level="CRITICAL"),
        ),
    )
    with pytest.raises(ray.train.WorkerGroupError) as raised:
        training.fit()
    told = user_error(raised.value)
    assert (type(told), str(told)) == (TrainingStopped, "it went wrong: lower the rate")
    assert attempts.read_text() == "one\n"
