"""The commands about versions, in this process: what they print for a machine, and their exit codes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from atelier.flows.cli import datasets, models, services
from atelier.tasks.images.codec import decode
from atelier.tasks.workspace.layout import Workspace
from tests.tasks.published import forget

pytestmark = pytest.mark.long

COMMANDS = ["datasets list", "datasets show", "datasets diff", "models list", "models show", "models diff"]
COMMANDS += ["models verify", "models push", "models rollback"]


@pytest.fixture(scope="module")
def made(published: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of it, where the commands leave their reports."""
    return Workspace(
        Path(shutil.copytree(published.root, tmp_path_factory.mktemp("versions") / "studio", symlinks=True))
    )


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer(rich_markup_mode=None)
    app.add_typer(models.commands, name="models")
    app.add_typer(datasets.commands, name="datasets")
    app.add_typer(services.commands)
    return app


def ask(app: typer.Typer, workspace: Workspace, *arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, [*arguments, "--json", "--workspace", str(workspace.root)])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def tell(app: typer.Typer, workspace: Workspace, *arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, "--workspace", str(workspace.root)])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(app: typer.Typer, command: str) -> None:
    done = CliRunner().invoke(app, [*command.split(), "--help"])
    assert f"Example: atelier {command}" in done.stdout


def test_datasets(app: typer.Typer, made: Workspace, tmp_path: Path) -> None:
    now, second, first = ask(app, made, "datasets", "list")
    assert (now["now"], first["models"]) == (True, ["style-model@v1.0.0", "style-model@v1.1.0"])
    head, *lines = tell(app, made, "datasets", "list").splitlines()
    assert head.startswith("DATASET  ")
    assert "now" in lines[0]
    assert lines[2].endswith("style-model@v1.0.0, style-model@v1.1.0")
    shown = ask(app, made, "datasets", "show")
    assert (shown["id"], shown["rows"], shown["domains"]) == (now["id"], 28, now["rows"])
    assert ask(app, made, "datasets", "show", "prod")["id"] == first["id"]
    assert "4 to train on,      4 held out" in tell(app, made, "datasets", "show", second["id"][:8])
    found = ask(app, made, "datasets", "diff", "prod", "now", "--out", str(tmp_path / "a.png"))
    assert (found["before"], found["added"]["photos"]) == (first["id"], 8)
    assert decode((tmp_path / "a.png").read_bytes()).shape[1] > 96 * 4
    default = Path(ask(app, made, "datasets", "diff", "prod", "v1.2.0")["sheet"])
    assert default == made.reports / "datasets" / f"{first['id'][:12]}-{second['id'][:12]}.png"


def test_models(app: typer.Typer, made: Workspace) -> None:
    listed = ask(app, made, "models", "list")
    assert [(one["version"], one["stage"], len(one["history"]), one["here"]) for one in listed] == [
        ("v1.2.0", None, 0, True), ("v1.1.0", "prod", 1, True), ("v1.0.0", None, 1, True)
    ]  # fmt: skip
    shown = ask(app, made, "models", "show", "prod")
    assert (shown["version"], shown["facts"]["train"]["steps"]) == ("v1.1.0", 102)
    assert "train.steps: 102" in tell(app, made, "models", "show", "style-model@v1.1.0")
    assert [line.split()[1] for line in tell(app, made, "models", "list").splitlines()] == [
        "STATE",
        *(one["state"] for one in listed),
    ]
    assert [one["state"] for one in listed] == ["refused", "prod", "replaced"]
    found = ask(app, made, "models", "diff", "v1.0.0", "v1.2.0")
    assert found["picture"] == str(made.reports / "models" / "v1.0.0-v1.2.0.png")
    assert Path(found["picture"]).is_file()
    assert found["dataset"]["removed"]["photos"] == 4


def test_without_canary_pictures_the_numbers_are_told(app: typer.Typer, made: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(Path(shutil.copytree(made.root, tmp_path / "studio")))
    shutil.rmtree(workspace.dataset)
    found = ask(app, workspace, "models", "diff", "v1.0.0", "v1.1.0")
    assert found["metrics"]["kid.ratio"] == {"before": 0.5, "after": 0.45, "difference": pytest.approx(-0.05)}
    assert found["notes"][0].startswith("no picture: ")


def test_verify_roll_back_and_remove(app: typer.Typer, made: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(Path(shutil.copytree(made.root, tmp_path / "studio", symlinks=True)))
    forget(workspace)  # three versions in a second: what was made of the first may be as young as the last
    assert [one["problems"] for one in ask(app, workspace, "models", "verify", "--all")] == [[], [], []]
    done = CliRunner().invoke(app, ["models", "verify", "--workspace", str(workspace.root)])
    assert isinstance(done.exception, ValueError)
    told = ask(app, workspace, "models", "rollback", "--reason", "green skies")
    assert told == {"model": "style-model", "version": "v1.0.0", "reason": "green skies"}
    assert "would remove" in tell(app, workspace, "gc", "--dry-run", "--keep", "1")
    collected = ask(app, workspace, "gc", "--keep", "1")
    assert collected["kept"] == ["style-model@v1.2.0", "style-model@v1.0.0"]
    assert collected["dropped"] == ["style-model@v1.1.0"]
    (lost,) = ask(app, workspace, "models", "verify", "v1.1.0", code=1)
    assert "artifacts/style-model" in lost["problems"][0]
    assert "its bytes are not on this machine" in tell(app, workspace, "models", "list")
    assert "its bytes are missing" in tell(app, workspace, "models", "show", "v1.1.0")
    done = CliRunner().invoke(app, ["models", "push", "--workspace", str(workspace.root)])
    assert "dvc remote add" in str(done.exception)
