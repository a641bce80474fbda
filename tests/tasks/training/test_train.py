"""Training under Ray Train, with real workers, real kills and tiny networks."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file

from atelier.models import artifact
from atelier.models.configs.base import MethodConfig, OptimizerConfig
from atelier.models.configs.loop import LoopConfig
from atelier.models.configs.style_statistics import CpganConfig
from atelier.tasks.dataset.shards import SCHEMA, Card, read_card, write_card, write_shard
from atelier.tasks.images import codec
from atelier.tasks.runtime.progress import Progress, silent
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.training.journal import JOURNAL, JournalReader, JournalWriter
from atelier.tasks.training.placement import SNAPSHOT, Placement, cpus_per_worker
from atelier.tasks.training.train import train
from tests.models.tiny import INFOGAN, VAE

# Ray Data warns about defaults of its own

LOOP = LoopConfig(steps=4, batch_size=2, log_every=1, checkpoint_every=2, sample_every=2, precision="float32", seed=3)
TINY = TrainConfig(
    encoder="efficientnet_lite0", workers=0, loop=LOOP,
    cpgan=CpganConfig(filters=4, blocks=1, discriminator_filters=4, discriminator_layers=1, style_images=4),
)  # fmt: skip
MODEL_FILES = {"generator.safetensors", "model.json", "samples.png"}


def make_training_set(folder: Path) -> Path:
    """Ten photos and five paintings of 32 pixels, noise of two kinds."""
    shards = []
    for domain, count, scale in (("photos", 10, 4), ("paintings", 5, 16)):
        rows = []
        for seed in range(count):
            coarse = np.random.default_rng([seed, scale]).integers(0, 256, (scale, scale, 3), dtype=np.uint8)
            content = codec.encode(codec.resize(coarse, 32, 32), "png")
            digest = hashlib.sha256(content).hexdigest()
            rows.append({
                "id": digest, "group": digest, "image": {"bytes": content, "path": f"{seed}.png"}, "domain": domain,
                "split": "train", "width": 32, "height": 32, "source": "sample", "attributes": "{}",
            })  # fmt: skip
        shards.append(write_shard(folder, pa.Table.from_pylist(rows, SCHEMA), domain, "train"))
    write_card(folder, Card(1, tuple(shards), {"dataset": "the dataset's id", "augment": {"copies": 1}}))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_training_set(tmp_path_factory.mktemp("augmented"))


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_training_in_process(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Progress] = []
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    subprocess.run(["git", "init", "--quiet"], check=True)
    stale = tmp_path / "checkpoints" / ("train-" + "0" * 16)
    stale.mkdir(parents=True)
    (tmp_path / "checkpoints" / "mine").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old.txt").touch()
    summary = train(TINY, data, tmp_path / "model", tmp_path / "checkpoints", tmp_path / "logs", seen.append)

    assert (summary.steps, summary.resumed_from, summary.images, summary.device) == (4, 0, 8, "cpu")
    assert set(_contents(tmp_path / "model")) == MODEL_FILES, "the old model is replaced"
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["mine"], "finished runs are removed"
    model = artifact.load(tmp_path / "model")
    assert model.painter()(torch.zeros(1, 3, 20, 30, dtype=torch.uint8)).shape == (1, 3, 20, 30)
    assert model.card.training["training_set"] == read_card(data).id
    assert model.card.training["dataset"] == "the dataset's id"
    assert model.card.training["steps"] == 4
    assert model.card.training["train"]["loop"]["seed"] == 3
    assert (model.card.training["content_domain"], model.card.training["style_domain"]) == ("photos", "paintings")
    assert str(tmp_path) not in (tmp_path / "model" / "model.json").read_text(), "no paths in a model"
    with Image.open(tmp_path / "model" / "samples.png") as samples:
        assert samples.width > 8 * 32

    assert [p.done for p in seen] == [0, 1, 2, 3, 4]
    assert (seen[-1].unit, seen[-1].total, seen[-1].images) == ("steps", 4, 8)
    assert "content" in seen[-1].note
    assert "data wait" in seen[-1].note
    assert len(seen[-1].note) < 70

    logs = tmp_path / "logs"
    assert json.loads((logs / "metrics.json").read_text())["step"] == 4
    curve = (logs / "plots" / "metrics" / "content.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in curve] == ["step", "1", "2", "3", "4"]
    assert {p.name for p in (logs / "plots" / "images").iterdir()} == {"samples-000002.png", "samples-000004.png"}
    for name in ("generator_lr", "generator_gradient_norm", "images_per_second", "memory_gb", "data_wait"):
        values = (logs / "plots" / "metrics" / f"{name}.tsv").read_text().split()[2:]
        assert all(0 <= float(value) < 1000 for value in values), name
    assert list((logs / "tensorboard").glob("events*"))
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == [".git"], "DVCLive keeps out of our folder"
    assert not list(tmp_path.glob("**/dvc.yaml"))


def test_equal_training_gives_equal_bytes_and_another_seed_other_bytes(data: Path, tmp_path: Path) -> None:
    for name, config in (("a", TINY), ("b", TINY), ("c", replace(TINY, loop=replace(LOOP, seed=4)))):
        train(config, data, tmp_path / name, tmp_path / "checkpoints", tmp_path / "logs", silent)
    first = _contents(tmp_path / "a")
    assert first == _contents(tmp_path / "b")
    assert first["generator.safetensors"] != (tmp_path / "c" / "generator.safetensors").read_bytes()


def test_starting_from_a_model(data: Path, tmp_path: Path) -> None:
    train(TINY, data, tmp_path / "first", tmp_path / "checkpoints", tmp_path / "logs", silent)
    gentle = replace(
        TINY, start_from="v1.0.0", cpgan=replace(TINY.cpgan, optimizer=OptimizerConfig(generator_lr=1e-12))
    )
    train(gentle, data, tmp_path / "second", tmp_path / "checkpoints", tmp_path / "logs", silent, tmp_path / "first")
    first, second = (load_file(tmp_path / name / "generator.safetensors") for name in ("first", "second"))
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"start_from is 'v1\.0\.0'"):
        train(gentle, data, tmp_path / "third", tmp_path / "checkpoints", tmp_path / "logs", silent)


@pytest.mark.parametrize(("name", "config", "own"), [("infogan", INFOGAN, 3), ("vae", VAE, 1)])
def test_grids_have_rows_of_the_methods_own(
    data: Path, tmp_path: Path, name: str, config: MethodConfig, own: int
) -> None:
    """Each code of infogan, and the reconstructions of vae, below the pictures of the style and generated ones."""
    settings: Any = {"method": name, name: config, "loop": replace(LOOP, steps=1, sample_every=1)}
    train(replace(TINY, **settings), data, tmp_path / "model", tmp_path / "checkpoints", tmp_path / "logs", silent)
    with Image.open(tmp_path / "model" / "samples.png") as samples:
        assert samples.height == 4 + (2 + own) * (32 + 4)


LONG = replace(
    TINY, workers=1, loop=replace(LOOP, steps=20, checkpoint_every=4, sample_every=10)
)  # long enough to be killed in its middle
DRIVER = """
import sys
from pathlib import Path
from typing import Any
import ray
sys.path.insert(0, {tests!r})
from tests.tasks.training.test_train import LONG, silent, train
ray.init({address!r}, log_to_driver=False, logging_level="error")
work = Path({work!r})
train(LONG, Path({data!r}), work / "model", work / "checkpoints", work / "logs", silent)
"""


def _workers() -> list[psutil.Process]:
    """Training workers of this process's cluster: other clusters on the machine are left alone."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "RayTrainWorker" in " ".join(process.cmdline()):
                found.append(process)
    return found


def _checkpointed(work: Path) -> bool:
    """Whether Ray has noted a checkpoint of the run."""
    for path in work.glob(f"checkpoints/*/{SNAPSHOT}"):
        try:
            return bool(json.loads(path.read_text())["checkpoint_results"])
        except ValueError:
            return False
    return False


@pytest.fixture(scope="module")
def undisturbed(ray_cluster: None, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The model of a training that nothing happened to."""
    work = tmp_path_factory.mktemp("undisturbed")
    train(LONG, data, work / "model", work / "checkpoints", work / "logs", silent)
    return _contents(work / "model")


def test_killed_and_started_again_it_ends_with_the_same_bytes(
    undisturbed: dict[str, bytes], data: Path, tmp_path: Path
) -> None:
    import ray

    script = DRIVER.format(
        address=ray.get_runtime_context().gcs_address,
        tests=os.fspath(Path(__file__).parents[3]),
        work=os.fspath(tmp_path),
        data=os.fspath(data),
    )
    with subprocess.Popen([sys.executable, "-c", script]) as driver:
        while not _checkpointed(tmp_path):
            assert driver.poll() is None, "the training ended before it could be killed"
            time.sleep(0.01)
        driver.kill()
        for worker in _workers():
            worker.kill()
    assert not (tmp_path / "model").exists()
    (run,) = (tmp_path / "checkpoints").iterdir()
    (run / "checkpoint_of_a_kill").mkdir()  # what a kill leaves of a checkpoint that was being written
    with (run / JOURNAL).open("ab") as journal:
        journal.write(b'{"kind": "losses", "step": 5')

    summary = train(LONG, data, tmp_path / "model", tmp_path / "checkpoints", tmp_path / "logs", silent)
    assert 0 < summary.resumed_from < 20
    assert _contents(tmp_path / "model") == undisturbed
    curve = (tmp_path / "logs" / "plots" / "metrics" / "content.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in curve] == ["step", *(str(step) for step in range(1, 21))]
    grids = {path.name for path in (tmp_path / "logs" / "plots" / "images").iterdir()}
    assert grids == {"samples-000010.png", "samples-000020.png"}
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.usefixtures("ray_cluster")
def test_an_error_in_a_worker_is_one_clear_line(data: Path, tmp_path: Path) -> None:
    train(TINY, data, tmp_path / "small", tmp_path / "checkpoints", tmp_path / "logs", silent)
    other = replace(TINY, workers=1, max_failures=0, start_from="v1.0.0", cpgan=replace(TINY.cpgan, filters=8))
    with pytest.raises(ValueError, match="another generator") as raised:
        train(other, data, tmp_path / "big", tmp_path / "checkpoints", tmp_path / "logs", silent, tmp_path / "small")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "big").exists()


@pytest.mark.usefixtures("ray_cluster")
def test_what_cannot_be_trained_is_refused_at_once(data: Path, tmp_path: Path) -> None:
    def attempt(config: TrainConfig, folder: Path = data) -> None:
        train(config, folder, tmp_path / "model", tmp_path / "checkpoints", tmp_path / "logs", silent)

    with pytest.raises(FileNotFoundError, match="atelier augment"):
        attempt(TINY, tmp_path)
    with pytest.raises(ValueError, match=r"'frescoes' is not in the training set .* it has paintings, photos"):
        attempt(replace(TINY, style="frescoes"))
    with pytest.raises(ValueError, match="workers is 8, but the Ray cluster has 2 CPUs"):
        attempt(replace(TINY, workers=8, min_workers=8, loop=replace(LOOP, batch_size=8)))
    with pytest.raises(ValueError, match="min_workers is 3, but the Ray cluster has 2 CPUs"):
        attempt(replace(TINY, workers=8, min_workers=3, loop=replace(LOOP, batch_size=8)))
    with pytest.raises(ValueError, match="min_workers is 3: more than"):
        attempt(replace(TINY, workers=2, min_workers=3))
    with pytest.raises(ValueError, match="has 0 GPUs"):
        attempt(replace(TINY, workers=1, device="gpu"))
    with pytest.raises(ValueError, match="batch_size is 2: too few for 3 workers"):
        attempt(replace(TINY, workers=3))
    assert not (tmp_path / "model").exists()


@pytest.mark.usefixtures("ray_cluster")
def test_a_full_cluster_is_an_error_and_not_waited_for_without_end(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "0.5")
    other = ray.util.placement_group([{"CPU": 1}])
    ray.get(other.ready())
    try:
        with pytest.raises(RuntimeError, match="Ray could not start the training workers") as raised:
            train(replace(TINY, workers=1), data, tmp_path / "m", tmp_path / "checkpoints", tmp_path / "logs", silent)
    finally:
        ray.util.remove_placement_group(other)
    assert "\n" not in str(raised.value)


def test_cpus_of_a_worker_lie_on_one_node() -> None:
    assert cpus_per_worker([(2, 4)], 1) == 2
    assert cpus_per_worker([(2, 4)], 2) == 1
    assert cpus_per_worker([(8, 4), (8, 4)], 1) == 8
    assert cpus_per_worker([(8, 4), (4, 4)], 3) == 4
    assert cpus_per_worker([(8, 4), (5, 4)], 4) == 2
    assert cpus_per_worker([(32, 1), (8, 1)], 2) == 8, "a GPU on each node"
    assert str(Placement(workers=2, min_workers=1, now=1, cpus=4, gpu=True)) == "1 × 4 CPUs and a GPU, 2 workers wanted"


def test_the_journal_survives_kills_and_repetitions(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path)
    assert list(reader.new()) == []
    first = JournalWriter(tmp_path)
    first.write(kind="losses", step=1, losses={"a": 1.0})
    first.write(kind="losses", step=2, losses={"a": 2.0})
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"kind": "losses", "st')
    assert [entry["step"] for entry in reader.new()] == [1, 2]
    second = JournalWriter(tmp_path)
    second.write(kind="losses", step=2, losses={"a": 2.0})
    second.write(kind="grid", step=2, file="x.png")
    second.write(kind="losses", step=3, losses={"a": 3.0})
    assert [(entry["kind"], entry["step"]) for entry in reader.new()] == [("grid", 2), ("losses", 3)]
    assert [entry["step"] for entry in JournalReader(tmp_path).new()] == [1, 2, 2, 3]
    first.close()
    second.close()


def test_parameters_are_checked() -> None:
    schema = TypeAdapter(TrainConfig)
    assert schema.validate_python({"loop": {"steps": 7}}).loop.steps == 7
    for wrong in ({"step": 1}, {"workers": -1}, {"loop": {"stepz": 1}}, {"cpgan": {"filters": 0}}, {"device": "tpu"}):
        with pytest.raises(ValidationError):
            schema.validate_python(wrong)


def test_what_does_not_decide_the_outcome_does_not_name_a_run() -> None:
    same = replace(TINY, workers=2, min_workers=2, max_failures=9, keep_checkpoints=5)
    assert same.facts() == replace(TINY, workers=2).facts()
    assert same.facts() != TINY.facts()
