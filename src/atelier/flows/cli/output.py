"""Common to the subcommands: the options --workspace and --json, and how a result is printed."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from atelier.flows.runs.standard_streams import results
from atelier.tasks.runtime.files import write

WorkspaceOption = Annotated[
    Path | None, typer.Option("--workspace", help="The workspace; by default the one that holds the current folder.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Delete without a question, which only a terminal asks.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def asks(yes: bool) -> bool:
    """Whether a person is asked before something is deleted: on a terminal, without --yes."""
    return not yes and sys.stdin.isatty() and sys.stderr.isatty()


def confirm(what: str) -> None:
    """Ask whether to go on; the command ends where the answer is not yes. `what` says what will be done."""
    typer.confirm(f"{what}\nGo on?", abort=True, err=True)


def result(value: Any, as_json: bool, text: str | None = None) -> None:
    """Print a result: as JSON, as the text for people, or field by field where there is no text."""
    plain = _plain(value)
    if as_json:
        text = json.dumps(plain, indent=2, default=str)
    elif text is None and isinstance(plain, dict):
        text = "\n".join(f"{key}: {item}" for key, item in plain.items())
    print(plain if text is None else text, file=results())


def write_sheet(file: Path, png: bytes) -> None:
    """Write a PNG for people to look at. Raises FileExistsError where another file has its name: it is kept."""
    if file.exists() and not (file.is_file() and file.read_bytes() == png):
        raise FileExistsError(f"{file} exists and is another file: choose another name for the sheet")
    write(file, png)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
