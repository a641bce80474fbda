"""Cross-validation by the command line: every fold measured once, kills survived, the pipeline left as it is."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev

import psutil
import pytest

from atelier.tasks.dataset import read_card
from atelier.tasks.folds import MEASURES
from tests.flows.small import SHRUNK, asked, draw, set_params

Atelier = Callable[..., subprocess.CompletedProcess[str]]

PHOTOS, PAINTINGS = [4, 3], [3, 3]  # pictures in each fold


@pytest.fixture(scope="module")
def workspace(atelier: Atelier, plane: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    photos, paintings = draw(folder / "photos", 4, PHOTOS, 2), draw(folder / "paintings", 16, PAINTINGS, 2)
    root = folder / "studio"
    assert atelier("init", root, "--content", photos, "--style", paintings).returncode == 0
    set_params(root, **SHRUNK, size_px=32, workers=0)
    return root


def test_killed_after_a_fold_it_continues_with_those_that_are_left(
    atelier: Atelier, environment: dict[str, str], plane: str, workspace: Path
) -> None:
    runs = workspace / ".atelier" / "folds"
    program = Path(sys.executable).with_name("atelier")
    command = [str(program), "train", "--folds", "2", "--workspace", str(workspace)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (first := list(runs.glob("*/fold-0.json"))):
        assert process.poll() is None, "it ended before it had a fold"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(children, timeout=20)
    assert not list(runs.glob("*/fold-1.json"))
    written = first[0].stat().st_mtime_ns

    done = atelier("train", "--folds", "2", "--workspace", workspace, "--json")
    assert done.returncode == 0, done.stderr
    assert "fold 2/2" in done.stderr
    assert "fold 1/2" not in done.stderr, "the first fold was done again"
    assert first[0].stat().st_mtime_ns == written
    assert sorted(path.name for path in first[0].parent.iterdir()) == ["fold-0.json", "fold-1.json"], "models are kept"

    found = json.loads(done.stdout)
    card = read_card(workspace / "data" / "augmented")
    assert (found["folds"], found["training_set"]) == (2, card.id)
    assert [of["content"] for of in found["pictures"]] == PHOTOS, "all of the training split, and nothing held out"
    assert [of["style"] for of in found["pictures"]] == PAINTINGS
    assert set(found["measures"]) == set(MEASURES)
    for name, spread in found["measures"].items():
        assert len(spread["each"]) == 2
        assert spread["mean"] == pytest.approx(fmean(spread["each"]), rel=1e-4), name
        assert spread["deviation"] == pytest.approx(stdev(spread["each"]), rel=1e-4, abs=1e-9), name
    each = [json.loads((first[0].parent / f"fold-{k}.json").read_text()) for k in range(2)]
    assert found["measures"]["ssim.mean"]["each"] == [metrics["ssim"]["mean"] for metrics in each]
    assert each[0]["ssim"]["mean"] != each[1]["ssim"]["mean"], "two folds are two trainings on other pictures"

    (table,) = [artifact for artifact in asked(plane, "artifacts") if artifact["key"] == "folds"]
    assert [row["measure"] for row in json.loads(table["data"])] == list(MEASURES)


def test_the_pipeline_is_left_as_it_is(atelier: Atelier, workspace: Path) -> None:
    found = (workspace / "reports" / "folds.json").read_bytes()
    assert not (workspace / "artifacts").exists(), "no model of a fold is kept"
    assert json.loads(atelier("models", "list", "--json", "--workspace", workspace).stdout) == []
    states = json.loads(atelier("train", "--workspace", workspace, "--json").stdout)
    assert states == {"ingest": "unchanged", "augment": "unchanged", "train": "ran"}
    assert (workspace / "reports" / "folds.json").read_bytes() == found, "DVC deletes what a stage is said to write"
    again = atelier("train", "--folds", "2", "--workspace", workspace)
    assert again.returncode == 0, again.stderr
    assert "fold" not in again.stderr, "the same folds again are no work"
    assert "KID" not in again.stderr
    assert again.stdout.splitlines()[0].split() == ["measure", "mean", "±", "deviation", "fold", "1", "fold", "2"]
    assert (workspace / "reports" / "folds.json").read_bytes() == found


@pytest.mark.parametrize(
    ("folds", "words"),
    [(1, ["--folds is 1", "at least 2"]), (40, ["'photos' has 7 groups", "--folds 40"]), (5, ["of 5 has", "--folds"])],
)
def test_what_cannot_be_cross_validated(atelier: Atelier, workspace: Path, folds: int, words: list[str]) -> None:
    done = atelier("train", "--folds", str(folds), "--workspace", workspace)
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("atelier: ")
    for word in words:
        assert word in last


def test_weights_that_have_seen_everything_are_no_start(atelier: Atelier, workspace: Path) -> None:
    before = (workspace / "params.yaml").read_text()
    set_params(workspace, start_from="v1.0.0")
    done = atelier("train", "--folds", "2", "--workspace", workspace)
    (workspace / "params.yaml").write_text(before)
    assert done.returncode == 2
    assert "have seen the pictures" in done.stderr.splitlines()[-1]
    both = atelier("train", "--folds", "2", "--each-style", "--workspace", workspace)
    assert both.returncode == 2
    assert "--folds and --each-style" in both.stderr.splitlines()[-1]
