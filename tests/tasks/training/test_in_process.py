"""Training without Ray Train's workers is as unkillable as with them: it keeps its checkpoints itself."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from atelier.tasks.runtime.progress import silent
from atelier.tasks.training.train import train
from tests.tasks.training.test_train import LOOP, TINY, make_training_set

pytestmark = pytest.mark.long

LONG = replace(TINY, loop=replace(LOOP, steps=30, checkpoint_every=4, sample_every=30))
DRIVER = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)  # as in the tests' own process
sys.path.insert(0, {tests!r})
from tests.tasks.training.test_in_process import LONG, silent, train
work = Path({work!r})
train(LONG, Path({data!r}), work / "model", work / "checkpoints", work / "logs", silent)
"""


def test_killed_and_started_again_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    data, work = make_training_set(tmp_path / "augmented"), tmp_path / "killed"
    driver = DRIVER.format(tests=str(Path(__file__).parents[3]), work=str(work), data=str(data))
    with subprocess.Popen([sys.executable, "-c", driver], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not list(work.glob("checkpoints/*/in-process-*.safetensors")):
            assert process.poll() is None, "it ended before it had a checkpoint"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    assert not (work / "model").exists(), "it was over before it was killed"
    resumed = train(LONG, data, work / "model", work / "checkpoints", work / "logs", silent)
    assert resumed.resumed_from >= 4
    whole = tmp_path / "whole"
    undisturbed = train(LONG, data, whole / "model", whole / "checkpoints", whole / "logs", silent)
    assert undisturbed.resumed_from == 0
    for file in ("generator.safetensors", "model.json"):
        assert (work / "model" / file).read_bytes() == (whole / "model" / file).read_bytes()
    assert not list(work.glob("checkpoints/*")), "a finished run leaves nothing"
