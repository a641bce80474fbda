"""Common to the subcommands: the options --workspace and --json, and how a result is printed."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer

WorkspaceOption = Annotated[
    Path | None, typer.Option("--workspace", help="The workspace; by default the one that holds the current folder.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def result(value: Any, as_json: bool, text: str | None = None) -> None:
    """Print a result: as JSON, as the text for people, or field by field where there is no text."""
    plain = _plain(value)
    if as_json:
        print(json.dumps(plain, indent=2, default=str))
    elif text is not None:
        print(text)
    elif isinstance(plain, dict):
        print("\n".join(f"{key}: {item}" for key, item in plain.items()))
    else:
        print(plain)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
