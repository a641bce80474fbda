"""What the documents say is there: links, files of the repository, commands, and the examples of CONTRIBUTING."""

import re
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer

from atelier.flows.cli.app import app
from atelier.models.configs import CONFIGS
from atelier.models.encoders.calibrated import DEVIATION, MEAN
from atelier.models.methods import METHODS
from atelier.tasks.images.codec import BadImage, decode
from atelier.tasks.storage.source_limits import DEFAULT_LIMITS
from tests.models import tiny

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
    text = re.sub(r"^\*\*\d\. Write\*\* .*$", "", prose(page), flags=re.MULTILINE)  # files that the reader will make
    for name in re.findall(rf"`((?:{FOLDERS})/[\w./-]*)`", text):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


@each_page
def test_named_tests_are_there(page: Path) -> None:
    for file, name in re.findall(r"`(tests/[\w./-]+\.py)::(\w+)`", prose(page)):
        assert f"\ndef {name}(" in (ROOT / file).read_text(), f"{page.name} names {file}::{name}"


def test_whatever_others_are_asked_for_has_a_thread_and_a_test() -> None:
    rows = re.findall(r"^\| (?!asked for).*\|$", (ROOT / "docs" / "trackers.md").read_text(), re.MULTILINE)
    assert len(rows) >= 20
    for row in rows:
        assert re.search(r"\(https://github\.com/[\w./-]+/(issues|pull)/\d+\)", row), row
        assert re.search(r"`tests/[\w./-]+\.py::test_\w+` \|$", row), row


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


def test_every_variable_is_listed() -> None:
    named = {
        name for file in (ROOT / "src").rglob("*.py") for name in re.findall(r"ATELIER_[A-Z_]+\b", file.read_text())
    }
    listed = set(re.findall(r"`(ATELIER_[A-Z_]+)`", (ROOT / "docs" / "environment.md").read_text()))
    assert {name.removesuffix("_") for name in named} <= {name.removesuffix("_NAME") for name in listed}


def test_every_command_with_a_result_prints_it_as_json() -> None:
    def leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        for key, below in getattr(command, "commands", {}).items():
            yield from leaves(below, f"{name} {key}".strip())
        if not hasattr(command, "commands"):
            yield name, command

    found = list(leaves(typer.main.get_command(app), ""))
    without = {name for name, command in found if not any("--json" in one.opts for one in command.params)}
    assert without == {"logs", "models reject", "ui"}


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    """The names that CONTRIBUTING's blocks of Python define, beside those that their tests import."""
    names: dict[str, Any] = {"np": np, "pytest": pytest, "torch": torch, "replace": replace, **vars(tiny)}
    pattern = re.compile(r"(?:`src/([\w/]+)\.py`[^`]*)?^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
    for file, block in pattern.findall((ROOT / "CONTRIBUTING.md").read_text()):
        module = types.ModuleType(file.replace("/", ".") or "example")
        sys.modules[module.__name__] = module  # dataclasses look their own module up, and examples import each other
        vars(module).update(names)
        exec(compile(block, "CONTRIBUTING.md", "exec"), vars(module))
        names |= {name: value for name, value in vars(module).items() if not name.startswith("__")}
    return names


def test_the_method_of_the_example_trains(examples: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIGS, "tint", examples["TintConfig"])
    monkeypatch.setitem(METHODS, "tint", examples["Tint"])
    examples["test_training_learns_the_style"]()


def test_the_metric_of_the_example_is_its_formula(examples: dict[str, Any]) -> None:
    examples["test_colorfulness_is_the_formula_in_loops"]()


def test_the_source_of_the_example_reads_pictures_only(examples: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "some.npz"
    np.savez(file, picture=np.full((8, 8, 3), 90, np.uint8), table=np.zeros((4, 4)))
    source = examples["Npz"]("some.npz", str(file), DEFAULT_LIMITS)
    picture, table = source.entries()
    assert (decode(source.read(picture, 2**20)) == 90).all()
    with pytest.raises(BadImage, match="float64"):
        source.read(table, 2**20)


def test_the_encoder_of_the_example_computes_what_was_published(examples: dict[str, Any]) -> None:
    layers: list[torch.nn.Module] = []
    for before, after in ((3, 64), (64, 0), (64, 128), (128, 0), (128, 256), (256, 256), (256, 0), (256, 512)):
        convolution = torch.nn.Conv2d(before, after, 3, padding=1) if after else None
        layers += [convolution, torch.nn.ReLU()] if convolution else [torch.nn.MaxPool2d(2)]
    published = torch.nn.Sequential(*layers)
    vgg11, x = examples["Vgg11"](), torch.rand(1, 3, 64, 64)
    state = vgg11.convert({f"features.{name}": value for name, value in published.state_dict().items()})
    vgg11.load_state_dict(state, strict=False)  # relu4_2 is behind all that is compared
    mean, deviation = (x.new_tensor(numbers)[:, None, None] for numbers in (MEAN, DEVIATION))
    with torch.inference_mode():
        torch.testing.assert_close(vgg11(x)["relu4_1"], published((x - mean) / deviation))


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 900
