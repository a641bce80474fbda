"""Trainings beside the pipeline, of one workspace: cross-validation, and a model for each style.

By the command line: every fold is measured once, kills are survived, a style that fails loses no other, and the
pipeline is left as it is.
"""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import psutil
import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from atelier.flows.cli.stylize_job import plan
from atelier.flows.runs.prefect_artifacts import artifact_key
from atelier.tasks.bulk.request import Rerun
from atelier.tasks.dataset.shards import SCHEMA, Card, Shard, fold_of, read_card, write_card, write_shard
from atelier.tasks.evaluation.cross_validation import METRIC_KEYS, CrossValidation, FoldInputs, Spread, cross_validate
from atelier.tasks.evaluation.protocol import EvaluateConfig
from atelier.tasks.registry.per_style import list_styles
from atelier.tasks.runtime.processes import git
from atelier.tasks.runtime.progress import silent
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.training.placement import place
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.pipeline import stages
from tests.flows.conftest import Atelier
from tests.flows.small import SHRUNK, asked, draw, set_params

PHOTOS, OILS = [4, 3], [3, 3]  # pictures in each fold of the studio


@pytest.fixture(scope="module")
def studio(atelier: Atelier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with photographs and two styles, `oils` and `inks`, of which nothing is made yet."""
    folder = tmp_path_factory.mktemp("studio")
    photos = draw(folder / "photos", 4, PHOTOS, 2)
    oils, inks = draw(folder / "oils", 16, OILS, 2), draw(folder / "inks", 9, [3, 3], 2)
    root = folder / "studio"
    assert atelier("init", root, "--content", photos, "--style", oils).returncode == 0
    set_params(root, **SHRUNK, size_px=32, workers=0, style="oils")
    params = root / "params.yaml"
    styles = f"    oils: [{oils}]\n    inks: [{inks}]\n"
    text, count = re.subn(r"(?m)^    paintings: .*\n", styles, params.read_text())
    assert count == 1
    params.write_text(text)
    return root


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

    key = artifact_key(studio, "folds")
    (table,) = [artifact for artifact in asked(plane, "artifacts") if artifact["key"] == key]
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


def listed(atelier: Atelier, workspace: Path) -> list[tuple[str, str, str, str]]:
    versions = json.loads(atelier("models", "list", "--json", "--workspace", workspace).stdout)
    return [(v["model"], v["version"], v["stage"], v["style"]) for v in versions]


def test_a_style_that_fails_loses_no_other_and_the_next_run_trains_it_alone(
    atelier: Atelier, plane: str, studio: Path
) -> None:
    in_the_way = studio / ".atelier" / "styles" / "oils" / "checkpoints"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.touch()
    done = atelier("train", "--each-style", "--workspace", studio)
    assert done.returncode == 1, done.stdout
    last = done.stderr.splitlines()[-1]
    assert last.startswith("atelier: 1 of 2 styles failed: oils (")
    assert "Not a directory" in last
    assert ", 1 registered" in last
    assert "Traceback" not in done.stderr
    assert listed(atelier, studio) == [("style-model-inks", "v1.0.0", "prod", "inks")]

    in_the_way.unlink()
    again = atelier("train", "--each-style", "--workspace", studio, "--json")
    assert again.returncode == 0, again.stderr
    styles = {one["style"]: one for one in json.loads(again.stdout)}
    assert {name: one["trained"] for name, one in styles.items()} == {"inks": False, "oils": True}
    assert {name: one["release"]["new"] for name, one in styles.items()} == {"inks": False, "oils": True}
    assert re.search(r"(?m)^styles .*inks .*oils", again.stderr), "progress is shown"
    both = [("style-model-inks", "v1.0.0", "prod", "inks"), ("style-model-oils", "v1.0.0", "prod", "oils")]
    assert listed(atelier, studio) == both
    weights = [studio / "artifacts" / f"style-model-{style}" / "generator.safetensors" for style in styles]
    assert weights[0].read_bytes() != weights[1].read_bytes()

    states = [run["state_type"] for run in asked(plane, "flow_runs") if run["name"] == "each style studio"]
    assert sorted(states) == ["COMPLETED", "FAILED"]
    tasks = {run["name"] for run in asked(plane, "task_runs")}
    for style in styles:
        assert {f"train {style}", f"evaluate {style}", f"gate and register {style}"} <= tasks


def test_each_has_a_name_to_restyle_and_to_promote_by(atelier: Atelier, studio: Path, tmp_path: Path) -> None:
    job = plan([str(studio.parent / "photos")], str(tmp_path), ["style-model-inks@prod"], {}, studio, {}, Rerun())
    assert (job.identity.name, job.identity.version) == ("style-model-inks", "v1.0.0")
    weights = (studio / "artifacts" / "style-model-inks" / "generator.safetensors").read_bytes()
    assert (job.model / "generator.safetensors").read_bytes() == weights
    promoted = atelier("models", "promote", "style-model-oils@v1.0.0", "--reason", "calmer", "--workspace", studio)
    assert promoted.stdout.strip() == "style-model-oils@prod is now v1.0.0"
    with pytest.raises(ValueError, match="no version of style-model is prod yet"):
        plan([str(studio.parent / "photos")], str(tmp_path), ["style-model@prod"], {}, studio, {}, Rerun())


def test_side_by_side(atelier: Atelier, plane: str, studio: Path, tmp_path: Path) -> None:
    """Registered models and a folder that is broken: what can be measured is, and the command says what cannot."""
    broken = tmp_path / "broken"
    shutil.copytree(studio / "artifacts" / "style-model-inks", broken)
    (broken / "generator.safetensors").write_bytes(b"nothing")
    names = ["style-model-inks@prod,style-model-oils@v1.0.0", str(broken)]
    done = atelier("evaluate", "--models", *names, "--workspace", studio, "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    styles = [(model["name"], model["style_domain"]) for model in found["models"]]
    assert styles == [("style-model-inks@v1.0.0", "inks"), ("style-model-oils@v1.0.0", "oils")]
    assert list(found["failed"]) == ["broken"]
    assert "generator.safetensors" in found["failed"]["broken"]
    folder = studio / "reports" / "comparison"
    assert sorted(path.name for path in folder.iterdir()) == ["comparison.json", "comparison.md", "grid.png"]
    assert json.loads((folder / "comparison.json").read_text()) == found
    tasks = {run["name"] for run in asked(plane, "task_runs")}
    assert {"measure style-model-inks@v1.0.0", "measure broken"} <= tasks
    assert not (studio / "reports" / "evaluation.json").exists(), "the pipeline's own output"

    wrong = atelier("evaluate", "--models", "style-model-inks@prod", "style-model@v9.0.0", "--workspace", studio)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.strip() == "atelier: there is no version 'v9.0.0' of style-model: there are none yet"


def test_the_pipeline_is_left_as_it_is(studio: Path) -> None:
    found = Workspace(studio)
    assert stages(found) == ["ingest", "augment", "train", "evaluate"], "what DVC keeps for a style is no stage"
    assert not found.model.exists()
    left = subprocess.run(["git", "status", "--porcelain"], cwd=studio, capture_output=True, text=True, check=True)
    assert left.stdout.strip() in ("", "M params.yaml")


@pytest.mark.usefixtures("ray_cluster")
def test_places_are_shared_out() -> None:
    for styles, at_once, cpus in ((1, 1, 2), (2, 2, 1), (5, 2, 1)):
        found = place(styles, 1, TrainConfig().device)
        assert (found.now, found.cpus, found.gpu) == (at_once, cpus, False)
    with pytest.raises(ValueError, match="has 0 GPUs"):
        place(2, 1, "gpu")


def test_what_has_no_styles() -> None:
    def card(*domains: str) -> Card:
        return Card(1, tuple(Shard(f"{domain}.parquet", domain, domain, "train", 4, 1) for domain in domains))

    assert list_styles(card("photos", "oils", "inks"), TrainConfig()) == ["inks", "oils"]
    with pytest.raises(ValueError, match="no domain but"):
        list_styles(card("photos"), TrainConfig())
    with pytest.raises(ValueError, match="'photos' is not in the training set: it has oils"):
        list_styles(card("oils"), TrainConfig())
    with pytest.raises(ValueError, match="must end with a letter or a digit"):
        list_styles(card("photos", "oils_"), TrainConfig())
