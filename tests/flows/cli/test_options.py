"""Options of a command as dataclasses."""

import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from atelier.flows.cli.options import grouped
from atelier.flows.cli.table import table


@dataclass(frozen=True)
class Colour:
    hue: Annotated[int, typer.Option(help="Degrees.")] = 0
    names: Annotated[list[str] | None, typer.Option("--name", help="Repeatable.")] = None


def test_each_field_is_an_option_of_the_command() -> None:
    app, given = typer.Typer(rich_markup_mode=None), []

    @app.command()
    @grouped
    def paint(file: str, colour: Colour, dry: Annotated[bool, typer.Option("--dry")] = False) -> None:
        """Paint a file."""
        given.append((file, colour, dry))

    for arguments in (["wall"], ["wall", "--hue", "30", "--name", "red", "--name", "warm", "--dry"]):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    assert given == [("wall", Colour(), False), ("wall", Colour(30, ["red", "warm"]), True)]
    shown = CliRunner().invoke(app, ["--help"]).output
    for words in ("Paint a file.", "--hue", "Degrees.", "--name", "Repeatable.", "--dry"):
        assert words in shown
    assert "colour" not in shown
    assert CliRunner().invoke(app, ["wall", "--hue", "red"]).exit_code == 2


def test_help_imports_little() -> None:
    """It is shown within 0.3 seconds; each of these takes longer alone, or a good part of it."""
    program = "import sys, atelier.flows.cli.app; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ("torch", "numpy", "prefect", "ray", "pydantic", "rich.console", "dvc", "httpx", "PIL")
    done = subprocess.run([sys.executable, "-c", program, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_table_is_aligned_by_cells() -> None:
    rows = [("v1.0.0", "水彩", "1"), ("v10.0.0", "oil", "")]
    assert table(("version", "style", "n"), rows).splitlines() == [
        "VERSION  STYLE  N",
        "v1.0.0   水彩   1",
        "v10.0.0  oil",
    ]
    assert table(("", ""), [("a", "b")]) == "a  b"
