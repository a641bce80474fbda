"""HTML comes from templates that escape: there is no other way to write it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import atelier
from atelier.tasks.reports.html_page import MACROS, _environment, render

PACKAGE = Path(atelier.__file__).parent
HOSTILE = "\"><script>alert('1')</script>\x01&amp;{{ 7 * 7 }}"
# SVG of literals; what is put into them is escaped by `Markup.format`
MAY_WRITE_MARKUP = {"charts.py"}
TAG = re.compile(
    r"</?(a|b|br|circle|code|dd|details|div|dl|dt|em|figcaption|figure|h[1-6]|head|html|img|input|li|p|path|polyline|"
    r"small|span|strong|summary|svg|table|tbody|td|text|th|thead|tr|ul)(?=[\s/>]|$)"
)


def sources() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        yield file.name, ast.parse(file.read_text())


def calls(tree: ast.Module, name: str) -> list[ast.Call]:
    """Calls of a function or class by its name, however it was imported."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [call for call in found if ast.unparse(call.func).split(".")[-1] == name]


def documentation(tree: ast.Module) -> set[ast.expr]:
    """Strings that stand alone: docstrings."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def test_there_is_one_environment_and_it_escapes() -> None:
    assert _environment().autoescape is True
    made = [call for _, tree in sources() for call in calls(tree, "Environment")]
    assert len(made) == 1
    importing = {file for file in PACKAGE.rglob("*.py") if re.search(r"\b(import|from) jinja2\b", file.read_text())}
    assert len(importing) == 1, "templates are rendered in one place"


def test_markup_is_made_of_literals_and_of_charts_alone() -> None:
    made = {name: [call for call in calls(tree, "Markup") if call.args] for name, tree in sources()}
    assert {name for name, found in made.items() if found} == MAY_WRITE_MARKUP
    for found in made.values():
        for call in found:
            assert all(isinstance(argument, ast.Constant) for argument in call.args), ast.unparse(call)


def test_nothing_else_writes_tags_or_escapes_by_hand() -> None:
    for name, tree in sources():
        assert {ast.unparse(call.func) for call in calls(tree, "escape")} <= {"re.escape", "glob.escape"}, name
        texts = {node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        written = [str(node.value) for node in texts - documentation(tree) if TAG.search(str(node.value))]
        assert name in MAY_WRITE_MARKUP or not written, f"{name} writes {written}"


def test_no_template_turns_escaping_off() -> None:
    files = {file for file in PACKAGE.rglob("*") if file.name.endswith((".html", ".j2"))}
    assert {file.name for file in files} == set(_environment().list_templates())
    for file in files:
        assert not re.search(r"\|\s*safe\b|autoescape|Markup", file.read_text()), file
        assert _environment().get_template(file.name)


def test_what_is_put_into_a_template_is_text() -> None:
    html = render(MACROS, "text_table", head=[HOSTILE], rows=[[HOSTILE]])
    assert "<script" not in html
    assert html.count("&#34;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;\x01&amp;amp;{{ 7 * 7 }}") == 2
    html = render(MACROS, "figure", uri="data:", caption=HOSTILE)
    assert "<script" not in html
    assert 'alt="&#34;&gt;' in html


def test_a_missing_argument_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="rows"):
        render(MACROS, "text_table", head=["a"])
    with pytest.raises(TypeError, match="no keyword argument 'more'"):
        render(MACROS, "bullets", items=[], more=1)
