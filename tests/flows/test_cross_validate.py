"""Cross-validation by the command line: every fold measured once, kills survived, the pipeline left as it is."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import psutil
import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from atelier.tasks.dataset.shards import SCHEMA, Card, fold_of, read_card, write_card, write_shard
from atelier.tasks.evaluation.cross_validation import METRIC_KEYS, CrossValidation, FoldInputs, Spread, cross_validate
from atelier.tasks.evaluation.protocol import EvaluateConfig
from atelier.tasks.runtime.processes import git
from atelier.tasks.runtime.progress import silent
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.workspace.layout import Workspace
from tests.flows.small import asked

Atelier = Callable[..., subprocess.CompletedProcess[str]]

PHOTOS, OILS = [4, 3], [3, 3]  # pictures in each fold of the studio


def test_killed_after_a_fold_it_continues_with_those_that_are_left(
    atelier: Atelier, environment: dict[str, str], plane: str, studio: Path
) -> None:
    runs = studio / ".atelier" / "folds"
    program = Path(sys.executable).with_name("atelier")
    command = [str(program), "train", "--folds", "2", "--workspace", str(studio)]
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

    done = atelier("train", "--folds", "2", "--workspace", studio, "--json")
    assert done.returncode == 0, done.stderr
    assert "fold 2/2" in done.stderr
    assert "fold 1/2" not in done.stderr, "the first fold was done again"
    assert first[0].stat().st_mtime_ns == written
    assert sorted(path.name for path in first[0].parent.iterdir()) == ["fold-0.json", "fold-1.json"], "models are kept"

    runs_of_both = [run["state_type"] for run in asked(plane, "flow_runs") if run["name"] == "folds studio"]
    assert sorted(runs_of_both) == ["COMPLETED", "CRASHED"], "what was killed is not Running for ever"

    found = json.loads(done.stdout)
    card = read_card(studio / "data" / "augmented")
    assert (found["folds"], found["training_set"]) == (2, card.id)
    assert [of["content"] for of in found["pictures"]] == PHOTOS, "all of the training split, and nothing held out"
    assert [of["style"] for of in found["pictures"]] == OILS
    assert set(found["measures"]) == set(METRIC_KEYS)
    for name, spread in found["measures"].items():
        assert len(spread["each"]) == 2
        assert spread["mean"] == pytest.approx(fmean(spread["each"]), rel=1e-4), name
        assert spread["deviation"] == pytest.approx(stdev(spread["each"]), rel=1e-4, abs=1e-9), name
    each = [json.loads((first[0].parent / f"fold-{k}.json").read_text()) for k in range(2)]
    assert found["measures"]["ssim.mean"]["each"] == [metrics["ssim"]["mean"] for metrics in each]
    assert each[0]["ssim"]["mean"] != each[1]["ssim"]["mean"], "two folds are two trainings on other pictures"

    (table,) = [artifact for artifact in asked(plane, "artifacts") if artifact["key"] == "folds"]
    assert [row["measure"] for row in json.loads(table["data"])] == list(METRIC_KEYS)
    assert (studio / "reports" / "folds.json").is_file()
    assert not [tag for tag in git(studio, "tag").split() if tag.startswith("style-model@")], "a fold's is no version"
    assert not Workspace(studio).model.exists()


def test_no_stage_of_the_pipeline_deletes_the_result(studio: Path) -> None:
    content = YAML(typ="safe", pure=True).load((studio / "dvc.yaml").read_text())
    written = [out for stage in content["stages"].values() for key in ("outs", "metrics") for out in stage.get(key, [])]
    paths = [Path(next(iter(out)) if isinstance(out, dict) else out) for out in written]
    assert Path("reports/evaluation.json") in paths
    result = Workspace(studio).folds.relative_to(studio)
    assert not [path for path in paths if result.is_relative_to(path)]


def test_what_cannot_be_cross_validated(tmp_path: Path) -> None:
    shards = []
    for domain, folds in (("photos", [0, 0, 1, 1, 2]), ("paintings", [0, 0, 1, 1, 2, 2])):
        groups = (f"{domain}{n}" for n in itertools.count())
        rows = [next(group for group in groups if fold_of(group, 3) == fold) for fold in folds]
        table = pa.Table.from_pylist([{"id": group, "group": group} for group in rows], SCHEMA)
        shards.append(write_shard(tmp_path, table, domain, "train"))
    write_card(tmp_path, Card(1, tuple(shards)))

    def attempt(folds: int, **changes: str) -> None:
        config = replace(TrainConfig(), **changes)  # type: ignore[arg-type]
        inputs = FoldInputs(config, EvaluateConfig(), folds, tmp_path, tmp_path)
        cross_validate(inputs, tmp_path, tmp_path / "out", silent)

    with pytest.raises(ValueError, match="'photos' has 5 groups of pictures to train with, fewer than --folds 40"):
        attempt(40)
    with pytest.raises(ValueError, match="fold 3 of 3 has 1 pictures of 'photos'"):
        attempt(3)
    with pytest.raises(ValueError, match=r"v1\.0\.0, whose weights have seen the pictures"):
        attempt(3, start_from="v1.0.0")


def test_wrong_usage_is_one_line(atelier: Atelier, studio: Path) -> None:
    for arguments, words in (
        (("--folds", "1"), "--folds is 1: at least 2"),
        (("--folds", "2", "--each-style"), "--folds and --each-style"),
    ):
        done = atelier("train", *arguments, "--workspace", studio)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert words in line


def test_the_story_is_a_table() -> None:
    found = CrossValidation(
        2, "set", ("kid_inception", "vgg19"), (), {"ssim.mean": Spread(0.5, 0.1, (0.4, 0.6))}, Path("f.json")
    )
    header, row, *_ = found.summary.splitlines()
    assert header.split() == ["measure", "mean", "±", "deviation", "fold", "1", "fold", "2"]
    assert row.split() == ["ssim.mean", "0.5", "0.1", "0.4", "0.6"]
