"""Changes of params.yaml from the command line, as `dvc exp run --set-param` makes them: comments and order stay."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from atelier.flows.config.params import Params
from atelier.tasks.runtime.files import write


def set_parameters(path: Path, changes: Sequence[str]) -> list[str]:
    """Set parameters in params.yaml, all or none; a line for each that is another now.

    Args:
        changes: like "train.loop.steps=500": a dotted key, and a value in YAML.

    Raises:
        ValueError: a change is not KEY=VALUE, a key is unknown, or a value is out of bounds.
        FileNotFoundError: there is no such file.
    """
    Params(path)  # readable, with known sections
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 10_000
    content = yaml.load(path.read_text())
    said = [line for change in changes if (line := _set(content, change))]
    text = io.StringIO()
    yaml.dump(content, text)
    Params(path, text.getvalue()).check()
    if said:
        write(path, text.getvalue().encode())
    return said


def _set(content: Any, change: str) -> str:
    """Set one parameter; the line about it, "" where it had the value."""
    key, equals, text = change.partition("=")
    *sections, last = key.strip().split(".")
    if not equals or not sections or not all((*sections, last)):
        raise ValueError(f"--set {change}: write it as KEY=VALUE, like train.loop.steps=500")
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ValueError(f"--set {change}: the value is not YAML: {' '.join(str(error).split())}") from error
    place = content
    for section in sections:
        if place.get(section) is None:
            place[section] = {}
        place = place[section]
        if not isinstance(place, dict):
            raise ValueError(f"--set {change}: {section} is no section, it has the value {place!r}")
    before = place.get(last, "its default")
    if last in place and before == value:
        return ""
    place[last] = value
    return f"params.yaml: {key.strip()} is {text.strip()}, was {before}"
