"""Imports run downwards only, at every depth of the code, and the lowest floor needs nothing but PyTorch."""

import ast
import graphlib
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import atelier

PACKAGE = Path(atelier.__file__).parent
OWN_OR_BELOW = {"models": {"models"}, "tasks": {"tasks", "models"}, "flows": {"flows", "tasks", "models"}}
ROOMS = {  # of each floor, in order: each may import those before it
    "tasks": (
        *(
            "runtime",
            "workspace",
            "images",
            "storage",
            "video",
            "dataset",
            "training",
            "evaluation",
            "registry",
            "reports",
        ),
        *("inference", "bulk"),
    ),
    "flows": ("config", "control_plane", "runs", "", "gallery", "cli"),  # "" are the flows themselves
}
MOST_FILES = 25  # in a room


def imported_modules(source: str) -> set[str]:
    """Full names of all modules that a source text imports, inside functions and by name as well."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            assert isinstance(node.args[0], ast.Constant), "a module imported by a computed name escapes this test"
            names.add(str(node.args[0].value))
    return names


def files_of(floor: str) -> list[Path]:
    files = sorted((PACKAGE / floor).rglob("*.py"))
    assert files
    return files


def test_the_reader_sees_lazy_and_named_imports() -> None:
    source = "def f():\n    from a.b import c\n    import d.e\n    importlib.import_module('g.h')\n"
    assert imported_modules(source) == {"a.b.c", "d.e", "g.h"}


@pytest.mark.parametrize("floor", ["models", "tasks", "flows"])
def test_imports_run_downwards_only(floor: str) -> None:
    for file in files_of(floor):
        for name in imported_modules(file.read_text()):
            parts = name.split(".")
            if parts[0] == "atelier" and parts[1] != "version":
                assert parts[1] in OWN_OR_BELOW[floor], f"{file} imports {name}"


def test_the_library_knows_no_flows_and_is_known_by_none() -> None:
    names = imported_modules((PACKAGE / "library.py").read_text())
    assert {name.split(".")[1] for name in names if name.startswith("atelier.")} == {"models", "tasks"}
    for floor in OWN_OR_BELOW:
        for file in files_of(floor):
            assert not any(name.startswith("atelier.library") for name in imported_modules(file.read_text()))


def module_of(file: Path) -> str:
    parts = ("atelier", *file.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room of a module of tasks or flows, "" for one that lies directly on its floor."""
    parts = module.split(".")
    return parts[2] if (PACKAGE / parts[1] / parts[2]).is_dir() else ""


@pytest.mark.parametrize("floor", ROOMS)
def test_every_file_is_in_a_room_and_no_room_is_too_full(floor: str) -> None:
    rooms = [path.parent.relative_to(PACKAGE / floor).as_posix() for path in files_of(floor) if path.stem != "__init__"]
    assert {"" if room == "." else room for room in rooms} == set(ROOMS[floor])
    for room in set(rooms):
        assert rooms.count(room) <= MOST_FILES, f"{room} has {rooms.count(room)} files"


@pytest.mark.parametrize("floor", ROOMS)
def test_a_room_imports_only_rooms_before_it(floor: str) -> None:
    order = ROOMS[floor]
    for file in files_of(floor):
        module = module_of(file)
        if module == f"atelier.{floor}":
            continue
        for name in imported_modules(file.read_text()):
            if name.startswith(f"atelier.{floor}.") and room_of(name) in order:
                assert order.index(room_of(name)) <= order.index(room_of(module)), f"{module} imports {name}"


def test_no_two_files_import_each_other_by_any_way() -> None:
    files = {module_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}
    graph = {
        module: {
            found
            for name in imported_modules(file.read_text())
            if (found := name if name in files else name.rpartition(".")[0]) in files and found != module
        }
        for module, file in files.items()
    }
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_models_import_only_torch_numpy_safetensors_and_the_standard_library() -> None:
    allowed = {"torch", "numpy", "safetensors", "atelier"} | sys.stdlib_module_names
    for file in files_of("models"):
        for name in imported_modules(file.read_text()):
            assert name.split(".")[0] in allowed, f"{file} imports {name}"


def test_flows_know_neither_torch_nor_ray_and_tasks_do_not_know_prefect() -> None:
    forbidden = {"flows": {"torch", "ray"}, "tasks": {"prefect"}}
    for floor, names in forbidden.items():
        for file in files_of(floor):
            for name in imported_modules(file.read_text()):
                assert name.split(".")[0] not in names, f"{file} imports {name}"


def requirements_of(distribution: str, seen: set[str]) -> set[str]:
    """Names of a distribution and of all it needs that are installed."""
    if distribution in seen:
        return seen
    seen.add(distribution)
    for requirement in importlib.metadata.requires(distribution) or []:
        name = re.match(r"[\w.-]+", requirement)
        if name and "extra ==" not in requirement:
            try:
                importlib.metadata.distribution(name.group())
            except importlib.metadata.PackageNotFoundError:
                continue
            requirements_of(name.group(), seen)
    return seen


def test_models_import_where_only_torch_numpy_and_safetensors_are(tmp_path: Path) -> None:
    distributions: set[str] = set()
    for name in ("torch", "numpy", "safetensors"):
        requirements_of(name, distributions)
    for name in distributions:
        for file in importlib.metadata.files(name) or []:
            top = file.parts[0]
            if top.startswith("..") or (tmp_path / top).exists():
                continue
            (tmp_path / top).symlink_to(Path(str(importlib.metadata.distribution(name).locate_file(top))))
    (tmp_path / "atelier").mkdir()
    (tmp_path / "atelier" / "__init__.py").touch()
    (tmp_path / "atelier" / "models").symlink_to(PACKAGE / "models")
    modules = [
        ".".join(f.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for f in files_of("models")
    ]
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + "\n".join(f"import {m}" for m in modules)
    # -I -S: neither site-packages nor the working directory, only the standard library and the folder made here
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    without = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script.splitlines()[0] + "\nimport pyarrow"], capture_output=True
    )
    assert without.returncode != 0, "the environment made here must lack what the models floor may not use"


def test_files_functions_and_signatures_are_short() -> None:
    """A file is one idea, a function fits on a screen, and what needs many parameters has a dataclass for them."""
    for file in sorted(PACKAGE.rglob("*.py")):
        source = file.read_text()
        assert source.count("\n") <= 300, file
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                where = f"{file}:{node.lineno} {node.name}"
                names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                assert len([name for name in names if name not in ("self", "cls")]) <= 8, where
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno < 60, where
