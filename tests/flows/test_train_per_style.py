"""Styles side by side, by the command line: one that fails loses no other, and each has versions of its own."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from atelier.flows.cli.stylize_job import plan
from atelier.tasks.bulk.request import Rerun
from atelier.tasks.registry.per_style import list_styles
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.training.placement import place
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.pipeline import stages
from tests.flows.small import asked

Atelier = Callable[..., subprocess.CompletedProcess[str]]


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
    job = plan([str(studio.parent / "photos")], str(tmp_path), "style-model-inks@prod", {}, studio, {}, Rerun())
    assert (job.identity.name, job.identity.version) == ("style-model-inks", "v1.0.0")
    weights = (studio / "artifacts" / "style-model-inks" / "generator.safetensors").read_bytes()
    assert (job.model / "generator.safetensors").read_bytes() == weights
    promoted = atelier("models", "promote", "style-model-oils@v1.0.0", "--reason", "calmer", "--workspace", studio)
    assert promoted.stdout.strip() == "style-model-oils@prod is now v1.0.0"
    with pytest.raises(ValueError, match="no version of style-model is prod yet"):
        plan([str(studio.parent / "photos")], str(tmp_path), "style-model@prod", {}, studio, {}, Rerun())


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
    from atelier.tasks.dataset.shards import Card, Shard

    def card(*domains: str) -> Card:
        return Card(1, tuple(Shard(f"{domain}.parquet", domain, domain, "train", 4, 1) for domain in domains))

    assert list_styles(card("photos", "oils", "inks"), TrainConfig()) == ["inks", "oils"]
    with pytest.raises(ValueError, match="no domain but"):
        list_styles(card("photos"), TrainConfig())
    with pytest.raises(ValueError, match="'photos' is not in the training set: it has oils"):
        list_styles(card("oils"), TrainConfig())
    with pytest.raises(ValueError, match="must end with a letter or a digit"):
        list_styles(card("photos", "oils_"), TrainConfig())
