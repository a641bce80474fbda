"""What the documents say is there: links, files of the repository, commands and their options."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from atelier.flows.cli import app

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
MADE_BY_THE_SITE = {"commands.md", "parameters.md", "starters.md"}  # their headings are of the built page
FOLDERS = "src|tests|docs|benchmarks|examples|deploy"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The fragments that links to a page may have."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            other = page.parent / name if name else page
            assert other.is_file(), f"{page.name}: {target}"
            assert not anchor or other.name in MADE_BY_THE_SITE or anchor in anchors(other), f"{page.name}: {target}"


@each_page
def test_named_files_are_there(page: Path) -> None:
    text = re.sub(r"^\*\*1\. Write\*\* .*$", "", prose(page), flags=re.MULTILINE)  # files of examples, for the reader to make
    for name in re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


@each_page
def test_commands_and_their_options_are_there(page: Path) -> None:
    lines = re.findall(r"^\$ (?:\.venv/bin/)?atelier (.*?)(?: +#.*| && .*)?$", page.read_text(), re.MULTILINE)
    for line in [*lines, *re.findall(r"`atelier ([a-z][^`]*)`", page.read_text())]:
        words = line.split()
        command: Any = typer.main.get_command(app)
        while words and not words[0].startswith("-") and (subcommands := getattr(command, "commands", None)):
            assert words[0] in subcommands, f"{page.name}: atelier {line}"
            command = subcommands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for word in words:
            assert not word.startswith("--") or word in known, f"{page.name}: atelier {line}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 900
