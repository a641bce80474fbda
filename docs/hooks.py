"""What the documentation site takes from the code: commands, parameters, starter cards, and the two files at the root.

A page asks for generated text by a line such as `<!-- generated: commands -->`. The text is made when the site is
built, so it is always that of the code beside it.
"""

import dataclasses
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.testing import CliRunner

from atelier.flows.cli.app import app
from atelier.flows.config.params import SECTIONS, Params
from atelier.tasks.bulk.subscriptions import StylizeSection

ROOT = Path(__file__).parent.parent
AT_ROOT = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
MARK = re.compile(r"<!-- generated: (\w+) -->")
COLUMNS = ("key", "default", "allowed", "meaning")
BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files of the repository's root that are pages of the site as well."""
    for page, name in AT_ROOT.items():
        text = (ROOT / name).read_text().replace("](docs/", "](")
        for other, root_name in AT_ROOT.items():
            text = text.replace(f"]({root_name})", f"]({other})")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the generated text where a page asks for it."""
    return MARK.sub(lambda mark: "\n".join(GENERATED[mark[1]]()), markdown)


def commands() -> Iterator[str]:
    """Every command with its arguments and options, from the command line's own help."""
    yield from _command(typer.main.get_command(app), ())


def _command(command: Any, name: tuple[str, ...]) -> Iterator[str]:
    if subcommands := getattr(command, "commands", None):
        for key, subcommand in subcommands.items():
            yield from _command(subcommand, (*name, key))
        return
    shown = CliRunner().invoke(app, [*name, "--help"], prog_name="atelier").output
    usage = " ".join(shown.partition("Usage:")[2].partition("\n\n")[0].split())
    yield f"## atelier {' '.join(name)}\n\n{_text(command.help)}\n\n```text\n{usage}\n```\n"
    if command.epilog:
        examples = command.epilog.removeprefix("Example: ").split(", or ")
        yield "\n".join(["Example:\n", "```console", *(f"$ {example}" for example in examples), "```\n"])
    rows = [(f"`{_name(one)}`", _default(one), _text(one.help)) for one in command.params]
    yield from _table(("name", "default", "meaning"), rows)


def _name(parameter: Any) -> str:
    """An option as it is written, an argument as the usage shows it."""
    return str(parameter.opts[0] if parameter.param_type_name == "option" else parameter.name.upper())


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    return "" if value in (None, False, "", ()) or callable(value) else f"`{getattr(value, 'value', value)}`"


def parameters() -> Iterator[str]:
    """Every parameter of params.yaml with its default, bounds and meaning, from the dataclasses that use them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text("{}\n")
        params = Params(path)
        for section in SECTIONS:
            config = StylizeSection() if section == "stylize" else getattr(params, section)
            documentation = _text(type(params).__dict__[section].__doc__)
            yield f"## {section}\n\n{documentation}\n"
            plain = [field for field in dataclasses.fields(config) if not _is_block(getattr(config, field.name))]
            yield from _table(COLUMNS, [_field(config, field, "") for field in plain])
            for field in dataclasses.fields(config):
                block = getattr(config, field.name)
                if _is_block(block):
                    yield f"### {section}.{field.name}\n\n{_text(field.metadata.get('description', ''))}\n"
                    yield from _table(COLUMNS, list(_fields(block, "")))


def _is_block(value: Any) -> bool:
    """Whether a value is written as a block of keys."""
    return dataclasses.is_dataclass(value)


def _fields(config: Any, prefix: str) -> Iterator[tuple[str, ...]]:
    """Rows of a block; keys of blocks inside it have the block's name before a dot."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if _is_block(value):
            yield from _fields(value, f"{prefix}{field.name}.")
        else:
            yield _field(config, field, prefix)


def _field(config: Any, field: Any, prefix: str) -> tuple[str, ...]:
    bounds = [form.format(field.metadata[key]) for key, form in BOUNDS.items() if key in field.metadata]
    if get_origin(field.type) is Literal:
        bounds += [f"`{choice}`" for choice in get_args(field.type)]
    meaning = _text(field.metadata["description"])
    return f"`{prefix}{field.name}`", _value(getattr(config, field.name)), ", ".join(bounds), meaning


def _value(value: Any) -> str:
    """A default as params.yaml has it, on one line."""
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict):
        return ", ".join(f"`{key}`" for key in value) if value else "`{}`"
    if isinstance(value, tuple):
        return "`[" + ", ".join(map(str, value)) + "]`"
    return f"`{value}`" if value != "" else '`""`'


def cards() -> Iterator[str]:
    """The card of every starter model."""
    for card in sorted((ROOT / "src" / "atelier" / "starters").glob("*/CARD.md")):
        yield re.sub(r"^#", "##", card.read_text(), flags=re.MULTILINE)


def _text(text: str | None) -> str:
    """Words of help in one line, with nothing that Markdown would take for a tag, an attribute or a cell."""
    return " ".join((text or "").split()).replace("<", "&lt;").replace("{", "&#123;").replace("|", "\\|")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """A Markdown table, without the columns in which no row has anything."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    if rows:
        for row in (head, ("---",) * len(head), *rows):
            yield f"| {' | '.join(row[i] for i in kept)} |"
        yield ""


GENERATED = {"commands": commands, "parameters": parameters, "cards": cards}
