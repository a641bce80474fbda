"""Jobs whose files are read and written by other tasks than the model."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from atelier.models.card import identify
from atelier.models.controls import Controls
from atelier.tasks.bulk.crash_markers import CrashMarkers
from atelier.tasks.bulk.inputs import list_inputs
from atelier.tasks.bulk.ledger import Ledger
from atelier.tasks.bulk.messages import RESULT_SCHEMA, JobSpec, JobStep, picture_tasks
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.split_workers import StylizeBlock, read_block, without_networks, write_block
from atelier.tasks.bulk.stylize import stylize
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.execution_plan import Execution, ExecutionPlan
from tests.tasks.bulk.test_ledger import die

pytestmark = pytest.mark.long

APART = StylizeConfig(stages="apart")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Ten inputs: sizes, depths and frames of many kinds, and three that end in quarantine."""
    folder = tmp_path / "in"
    folder.mkdir()
    arrays = [np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8) for seed in range(3)]
    frames = [Image.fromarray(array) for array in arrays]
    for index, frame in enumerate(frames):
        frame.save(folder / f"{index}.png")
    frames[0].resize((90, 70)).save(folder / "large.jpg")
    frames[0].save(folder / "moving.webp", lossless=True, save_all=True, append_images=frames[1:], duration=40)
    Image.fromarray(np.linspace(0, 65535, 480).astype(np.uint16).reshape(20, 24)).save(folder / "deep.tif")
    frames[0].save(folder / "same.png")
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:200])
    (folder / "text.jpg").write_text("no picture")
    return folder


def _outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def _ends(folder: Path) -> list[tuple[object, ...]]:
    rows = Ledger(folder / "_atelier/ledger").read().drop_columns(["seconds"])
    return sorted(tuple(row.values()) for row in rows.to_pylist())


@pytest.mark.usefixtures("ray_cluster")
def test_the_same_bytes_and_ledger_as_in_one_worker(tmp_path: Path, archive: Path, tiny_model: Path) -> None:
    def run(config: StylizeConfig, out: Path) -> tuple[int, ...]:
        identity = identify(tiny_model, "style-model", "v1")
        done = stylize(StylizeRequest((str(archive),), out, tiny_model, config, identity), connect=lambda: None)
        return done.done, done.quarantined, done.processed

    assert run(replace(APART, stages="together"), tmp_path / "one") == (7, 3, 10)
    assert run(APART, tmp_path / "two") == (7, 3, 10)
    assert _outputs(tmp_path / "two") == _outputs(tmp_path / "one")
    assert _ends(tmp_path / "two") == _ends(tmp_path / "one")
    assert "stages" not in json.loads((tmp_path / "two/_atelier/job.json").read_text())["parameters"]
    Image.new("RGB", (24, 20)).save(archive / "new.png")
    assert run(replace(APART, stages="together"), tmp_path / "two") == (8, 3, 1), "stages do not change the job"


@pytest.fixture
def spec(tmp_path: Path, tiny_model: Path) -> JobSpec:
    execution = Execution(ExecutionPlan(version=torch.__version__))
    identity = identify(tiny_model, "style-model", "v1")
    return JobSpec(tmp_path / "out", (JobStep(tiny_model, identity, Controls(), execution),), APART, 1)


def _through(spec: JobSpec, archive: Path) -> dict[str, tuple[str, str]]:
    """All stages, one after the other, outside Ray."""
    threads = torch.get_num_threads()
    inputs = list_inputs([str(archive)], Path())
    tasks = picture_tasks(inputs, inputs["input"])
    opened = pa.concat_tables(read_block(tasks, without_networks(spec)))
    answer = write_block(pa.concat_tables(StylizeBlock(spec)(opened)), without_networks(spec))
    torch.set_num_threads(threads)
    assert answer.schema == RESULT_SCHEMA
    return {row["input"]: (row["state"], row["reason"]) for row in answer.to_pylist()}


@pytest.mark.parametrize(
    ("stage", "reason"), [("decode", "decoder"), ("stylize", "its worker"), ("encode", "its worker")]
)
def test_what_takes_workers_down_at_a_stage_is_found(archive: Path, spec: JobSpec, stage: str, reason: str) -> None:
    bad = ("empty.png", "cut.png", "text.jpg")
    names = list_inputs([str(archive)], Path())["input"].to_pylist()
    folder = Path(spec.destination) / "_atelier"
    markers = CrashMarkers(folder / "inflight", stage)
    at_stage = names if stage == "decode" else [name for name in names if name not in bad]
    for _ in range(2):
        die(markers, at_stage, "1.png", stage)
    state, why = _through(spec, archive)["1.png"]
    assert (state, reason in why) == ("quarantined", True)
    ends = {row["input"]: (row["state"], row["stage"]) for row in Ledger(folder / "ledger").read().to_pylist()}
    assert ends.pop("1.png") == ("quarantined", stage)
    assert {name for name, (state, _) in ends.items() if state == "quarantined"} == set(bad)
    assert not any((folder / "inflight").iterdir())


def test_a_model_that_does_not_load_stops_the_job(archive: Path, spec: JobSpec, tmp_path: Path) -> None:
    step = replace(spec.steps[0], model=tmp_path / "nowhere")
    answers = _through(replace(spec, steps=(step,)), archive)
    assert {state for state, _ in answers.values()} == {"pending", "quarantined"}
    assert "nowhere" in next(reason for state, reason in answers.values() if state == "pending")


def test_a_destination_that_takes_no_more_stops_the_job(archive: Path, spec: JobSpec) -> None:
    out = Path(spec.destination)
    (out / "_atelier").mkdir(parents=True)
    (out / "_atelier/ledger").write_text("in the way")
    answers = _through(spec, archive)
    assert "cannot be written" in next(reason for state, reason in answers.values() if state == "pending")


GPU_DRIVER = """
import dataclasses, pickle, sys
from pathlib import Path
import ray
from atelier.tasks.bulk.pool import WorkerPool, splits_stages

spec, todo = pickle.loads(Path(sys.argv[1]).read_bytes())
ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, logging_level="error", log_to_driver=False)
for stages in ("auto", "apart"):
    spec = dataclasses.replace(spec, config=dataclasses.replace(spec.config, stages=stages))
    pool = WorkerPool()
    reasons = {reason for answer in pool.results(todo, spec) for reason in answer["reason"].to_pylist() if reason}
    pool.close()
    print(splits_stages(spec), reasons)
"""


def test_workers_on_gpus_get_their_blocks(tmp_path: Path, archive: Path, spec: JobSpec) -> None:
    """On a cluster that says that it has a GPU; without one the workers refuse, but they are asked."""
    (archive / "empty.png").unlink()
    (archive / "cut.png").unlink()
    (archive / "text.jpg").unlink()
    inputs = list_inputs([str(archive)], Path())
    todo = picture_tasks(inputs, inputs["input"])
    gpu = spec.with_executions([Execution(ExecutionPlan(version=torch.__version__, device="cuda"))])
    (tmp_path / "spec").write_bytes(pickle.dumps((gpu, todo)))
    command = [sys.executable, "-c", GPU_DRIVER, str(tmp_path / "spec")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    together, apart = done.stdout.splitlines()
    if not torch.cuda.is_available():
        assert together.startswith("False {'the job began on a GPU, and here is none")
        assert apart.startswith("True {'the job began on a GPU, and here is none")
