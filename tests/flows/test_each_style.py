"""Styles side by side, by the command line: one that fails loses no other, and each has versions of its own."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from atelier.tasks.pipeline import STAGES, stages
from atelier.tasks.styles import place, styles_of
from atelier.tasks.training import TrainConfig
from atelier.tasks.workspace import Workspace
from tests.flows.small import SHRUNK, asked, draw, set_params

Atelier = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def workspace(atelier: Atelier, plane: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with photographs and two styles."""
    folder = tmp_path_factory.mktemp("styles")
    photos = draw(folder / "photos", 4, [4], 2)
    oils, inks = draw(folder / "oils", 16, [4], 2), draw(folder / "inks", 9, [4], 2)
    root = folder / "studio"
    assert atelier("init", root, "--content", photos, "--style", oils).returncode == 0
    set_params(root, **SHRUNK, size_px=32)
    params = root / "params.yaml"
    styles = f"    oils: [{oils}]\n    inks: [{inks}]\n"
    text, count = re.subn(r"(?m)^    paintings: .*\n", styles, params.read_text())
    assert count == 1
    params.write_text(text)
    return root


def listed(atelier: Atelier, workspace: Path) -> list[tuple[str, str, str, str]]:
    versions = json.loads(atelier("models", "list", "--json", "--workspace", workspace).stdout)
    return [(v["model"], v["version"], v["stage"], v["style"]) for v in versions]


def test_a_style_that_fails_loses_no_other_and_the_next_run_trains_it_alone(
    atelier: Atelier, plane: str, workspace: Path
) -> None:
    in_the_way = workspace / ".atelier" / "styles" / "oils" / "checkpoints"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.touch()
    done = atelier("train", "--each-style", "--workspace", workspace)
    assert done.returncode == 1, done.stdout
    last = done.stderr.splitlines()[-1]
    assert last.startswith("atelier: 1 of 2 styles failed: oils (")
    assert "Not a directory" in last
    assert ", 1 registered" in last
    assert "Traceback" not in done.stderr
    assert listed(atelier, workspace) == [("style-model-inks", "v1.0.0", "prod", "inks")]

    in_the_way.unlink()
    again = atelier("train", "--each-style", "--workspace", workspace, "--json")
    assert again.returncode == 0, again.stderr
    styles = {one["style"]: one for one in json.loads(again.stdout)}
    assert {name: one["trained"] for name, one in styles.items()} == {"inks": False, "oils": True}
    assert {name: one["release"]["new"] for name, one in styles.items()} == {"inks": False, "oils": True}
    assert re.search(r"(?m)^styles .*inks .*oils", again.stderr), "progress is shown"
    both = [("style-model-inks", "v1.0.0", "prod", "inks"), ("style-model-oils", "v1.0.0", "prod", "oils")]
    assert listed(atelier, workspace) == both
    weights = [workspace / "artifacts" / f"style-model-{style}" / "generator.safetensors" for style in styles]
    assert weights[0].read_bytes() != weights[1].read_bytes()

    states = [run["state_type"] for run in asked(plane, "flow_runs") if run["name"] == "each style studio"]
    assert sorted(states) == ["COMPLETED", "FAILED"]
    tasks = {run["name"] for run in asked(plane, "task_runs")}
    for style in styles:
        assert {f"train {style}", f"evaluate {style}", f"gate and register {style}"} <= tasks


def test_each_has_a_name_to_restyle_and_to_promote_by(atelier: Atelier, workspace: Path, tmp_path: Path) -> None:
    source = workspace.parent / "photos"
    model = "style-model-inks@prod"
    done = atelier("stylize", source, tmp_path / "out", "--model", model, "--workspace", workspace)
    assert done.returncode == 0, done.stderr
    (first, *_) = sorted((tmp_path / "out").glob("*.png"))
    lineage = json.loads(atelier("inspect", first, "--json").stdout)
    assert (lineage["model"]["name"], lineage["model"]["version"]) == ("style-model-inks", "v1.0.0")
    promoted = atelier("models", "promote", "style-model-oils@v1.0.0", "--reason", "calmer", "--workspace", workspace)
    assert promoted.stdout.strip() == "style-model-oils@prod is now v1.0.0"
    absent = atelier("stylize", source, tmp_path / "no", "--model", "style-model@prod", "--workspace", workspace)
    assert absent.returncode == 2
    assert "no version of style-model is prod yet" in absent.stderr


def test_the_pipeline_is_left_as_it_is(workspace: Path) -> None:
    found = Workspace(workspace)
    assert stages(found) == list(STAGES), "what DVC keeps for a style is no stage"
    assert not found.model.exists()
    left = subprocess.run(["git", "status", "--porcelain"], cwd=workspace, capture_output=True, text=True, check=True)
    assert left.stdout.strip() in ("", "M params.yaml")


@pytest.mark.usefixtures("ray_cluster")
def test_places_are_shared_out() -> None:
    for styles, at_once, cpus in ((1, 1, 2), (2, 2, 1), (5, 2, 1)):
        found = place(styles, TrainConfig())
        assert (found.at_once, found.cpus, found.gpu) == (at_once, cpus, False)
    with pytest.raises(ValueError, match="has 0 GPUs"):
        place(2, TrainConfig(device="gpu"))


def test_what_has_no_styles() -> None:
    from atelier.tasks.dataset import Card, Shard

    def card(*domains: str) -> Card:
        return Card(1, tuple(Shard(f"{domain}.parquet", domain, domain, "train", 4, 1) for domain in domains))

    assert styles_of(card("photos", "oils", "inks"), TrainConfig()) == ["inks", "oils"]
    with pytest.raises(ValueError, match="no domain but"):
        styles_of(card("photos"), TrainConfig())
    with pytest.raises(ValueError, match="'photos' is not in the training set: it has oils"):
        styles_of(card("oils"), TrainConfig())
    with pytest.raises(ValueError, match="must end with a letter or a digit"):
        styles_of(card("photos", "oils_"), TrainConfig())
