"""Wrong usage and bad input: one line that says what is wrong with what, and an honest exit code."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from atelier.flows.cli.app import app
from atelier.flows.cli.status import Schedule
from atelier.tasks.images.codec import encode

Atelier = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def workspace(atelier: Atelier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cli") / "demo"
    done = atelier("init", root, "--from", "demo")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode(np.zeros((64, 64, 3), np.uint8), "png"))
    return folder


def assert_one_line(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("using ", "started: "))]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("atelier: ")
    for word in words:
        assert word in lines[0]


COMMANDS = ("init", "ingest", "augment", "train", "evaluate", "retrain", "stylize", "generate", "inspect", "report")
COMMANDS += ("params", "models list", "models promote", "models import", "models export", "datasets show")
COMMANDS += ("encoders list", "encoders pull", "up", "down", "status", "logs", "doctor", "gc")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = CliRunner().invoke(app, [*command.split(), "--help"], prog_name="atelier")
    assert done.exit_code == 0
    assert f"Example: atelier {command}" in done.stdout
    assert "-h, --help" in done.stdout


def test_a_sheet_of_pairs_is_written_and_its_answers_are_counted(
    atelier: Atelier, workspace: Path, pictures: Path, tmp_path: Path
) -> None:
    """A starter model against pictures of another program, named as the photographs."""
    command = ("evaluate", "--workspace", workspace, "--models", "starter/paintings", pictures, "--sheet")
    assert_one_line(atelier("evaluate", "--workspace", workspace, "--answers", tmp_path / "a.txt"), 2, "no sheet")
    done = atelier(*command, "--pictures", pictures)
    assert done.returncode == 0, done.stderr
    key = json.loads((workspace / "reports" / "preference" / "key.json").read_text())
    side = "left" if key["pairs"][0]["left"] == "starter/paintings" else "right"
    (tmp_path / "a.txt").write_text(f"sheet {key['sheet']}\n1 {side}\n")
    counted = atelier("evaluate", "--workspace", workspace, "--answers", tmp_path / "a.txt")
    assert "1 of 1 pairs were judged" in counted.stdout
    assert f"{pictures}: 0 wins, 1 losses, 0 ties against starter/paintings" in counted.stdout
    (tmp_path / "a.txt").write_text("1 maybe")
    assert_one_line(atelier("evaluate", "--workspace", workspace, "--answers", tmp_path / "a.txt"), 2, "'1 maybe'")


def test_parameters_are_printed_with_default_and_meaning(atelier: Atelier) -> None:
    done = atelier("params", "train.cut")
    assert done.stdout.startswith("train:\n  cut:  # settings of cut\n    filters: 64  # generator channels")
    assert "cyclegan" not in done.stdout
    assert_one_line(atelier("params", "trian"), 2, "unknown section 'trian': did you mean 'train'?")
    assert_one_line(atelier("params", "train.lop"), 2, "unknown parameter 'train.lop'", "`atelier params train`")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("datasets l", ["list"]),
        ("stylize --model starter/m", ["starter/monet"]),
        ("train --set train.loop.st", ["train.loop.steps="]),
        ("models show v", []),
    ],
)
def test_the_shell_completes(atelier: Atelier, workspace: Path, words: str, found: list[str]) -> None:
    asked = {
        "COMP_WORDS": f"atelier {words}",
        "COMP_CWORD": str(len(words.split())),
        "_ATELIER_COMPLETE": "complete_bash",
    }
    assert atelier(cwd=workspace, **asked).stdout.split() == found


def test_wrong_usage_is_two(atelier: Atelier) -> None:
    assert atelier("stylize").returncode == 2
    assert atelier("stylise").returncode == 2


def test_what_is_missing_or_wrong_is_named(atelier: Atelier, workspace: Path, pictures: Path) -> None:
    assert_one_line(atelier("stylize", pictures), 2, "Name a destination: atelier stylize", "RESTYLED")
    done = atelier("retrain", "--workspace", workspace, "--cron", "0 2 * * *", "--timezone", "Berlin")
    assert_one_line(done, 2, "no time zone 'Berlin': did you mean Europe/Berlin?")


def test_an_existing_workspace_keeps_its_sources(atelier: Atelier, workspace: Path, pictures: Path) -> None:
    assert atelier("init", workspace, "--from", "demo").stdout.startswith("kept the workspace")
    done = atelier("init", workspace, "--content", pictures, "--style", pictures)
    assert_one_line(done, 2, "is a workspace already", "sample://photos", "ingest.domains in params.yaml")


def test_few_pictures_are_told_before_anything_is_trained(atelier: Atelier, tmp_path: Path, pictures: Path) -> None:
    done = atelier("init", tmp_path / "w", "--content", pictures, "--style", pictures)
    assert "note: few pictures to measure with: about 0 of photos and 0 of paintings are held out." in done.stderr


def test_a_missing_source(atelier: Atelier, tmp_path: Path, pictures: Path) -> None:
    done = atelier("init", tmp_path / "w", "--content", tmp_path / "nowhere", "--style", pictures)
    assert_one_line(done, 2, "nowhere")
    assert not (tmp_path / "w").exists()


def test_a_folder_without_pictures(atelier: Atelier, tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = atelier("init", tmp_path / "w", "--content", pictures, "--style", tmp_path / "empty")
    assert_one_line(done, 2, "empty")


def test_a_source_that_went_away(atelier: Atelier, tmp_path: Path, pictures: Path) -> None:
    root = tmp_path / "w"
    assert atelier("init", root, "--content", pictures, "--style", pictures).returncode == 0
    (pictures / "a.png").unlink()
    pictures.rmdir()
    assert_one_line(atelier("ingest", "--scan", "--workspace", root), 2, "pictures")


def test_a_scan_writes_what_the_stages_depend_on(atelier: Atelier, workspace: Path) -> None:
    done = atelier("ingest", "--scan", "--workspace", workspace, "--json")
    assert json.loads(done.stdout)["domains"] == {"photos": 288, "paintings": 494}
    assert (workspace / "sources.lock").is_file()
    lock = json.loads((workspace / "start.lock").read_text())
    assert lock["version"] == lock["start_from"], "the base model of a new workspace, by its weights"
    assert lock["version"].startswith("starter/")
    assert lock["bytes"]


def test_no_workspace(atelier: Atelier, tmp_path: Path) -> None:
    assert_one_line(atelier("retrain", cwd=tmp_path), 2, "workspace", "atelier init")


def test_an_unknown_key(atelier: Atelier, workspace: Path) -> None:
    params = workspace / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("    steps:", "    stepps:"))
    try:
        assert_one_line(atelier("retrain", cwd=workspace), 2, "train.loop.stepps", "'steps'")
    finally:
        params.write_text(text)


def test_a_corrupt_model_folder(atelier: Atelier, tmp_path: Path, pictures: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    arguments = ("stylize", pictures, tmp_path / "out", "--model", model)
    assert_one_line(atelier(*arguments), 2, "model", "generator.safetensors")
    (model / "generator.safetensors").write_bytes(b"\x00" * 40)
    (model / "model.json").write_text(json.dumps({"format": 1, "method": "cpgan", "config": {}}))
    assert_one_line(atelier(*arguments), 2, "generator.safetensors")
    assert not (tmp_path / "out").exists()


def test_no_such_version(atelier: Atelier, workspace: Path, tmp_path: Path, pictures: Path) -> None:
    done = atelier("stylize", pictures, tmp_path / "out", "--model", "style-model@v9.0.0", cwd=workspace)
    assert_one_line(done, 2, "v9.0.0")
    done = atelier("stylize", pictures, tmp_path / "out", "--set", "stylize.qualty=80", cwd=workspace)
    assert_one_line(done, 2, "qualty", "'quality'")


def test_a_ray_address_that_does_not_answer(atelier: Atelier, workspace: Path) -> None:
    assert_one_line(atelier("train", cwd=workspace, RAY_ADDRESS="127.0.0.1:9"), 1, "127.0.0.1:9", "RAY_ADDRESS")


def test_a_prefect_server_that_does_not_answer(atelier: Atelier, workspace: Path) -> None:
    done = atelier("train", cwd=workspace, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert_one_line(done, 1, "127.0.0.1:9", "PREFECT_API_URL")


def test_a_picture_that_is_not_ours(atelier: Atelier, pictures: Path) -> None:
    assert_one_line(atelier("inspect", pictures / "a.png"), 2, "a.png does not say that atelier made it")
    assert_one_line(atelier("inspect", pictures / "b.png"), 2, "b.png does not exist")
    (pictures / "b.png").write_bytes(b"no picture")
    assert_one_line(atelier("inspect", pictures / "b.png"), 2, "b.png: not a picture in a supported format")


def test_the_traceback_only_with_debug(atelier: Atelier, tmp_path: Path) -> None:
    assert "Traceback" not in atelier("retrain", cwd=tmp_path).stderr
    for arguments in (("--debug", "retrain"), ("retrain", "--debug"), ("models", "--debug", "list")):
        assert "Traceback" in atelier(*arguments, cwd=tmp_path).stderr
    assert "Traceback" not in atelier("inspect", "--", "--debug", cwd=tmp_path).stderr, "the name of a file"


def test_the_next_night_is_in_the_zone_of_its_schedule() -> None:
    night = Schedule("studio", "0 2 * * *", "Europe/Berlin", "2026-11-30T01:00:00+00:00", served=True)
    assert night.summary == "studio: 0 2 * * * Europe/Berlin, next 2026-11-30 02:00"
