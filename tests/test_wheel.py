"""The built wheel carries the files that are not Python: the one pipeline above all."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]


def test_the_wheel_carries_the_pipeline_of_the_repository(tmp_path: Path) -> None:
    copy = tmp_path / "copy"  # a build writes beside the sources
    copy.mkdir()
    for name in ("pyproject.toml", "dvc.yaml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(
        ROOT / "src", copy / "src", symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--wheel-dir", tmp_path, copy], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("atelier/tasks/workspace/dvc.yaml") == (ROOT / "dvc.yaml").read_bytes()
        packed = set(archive.namelist())
    files = [path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {path.relative_to(ROOT / "src").as_posix() for path in files if ".egg-info" not in path.as_posix()}
    assert expected <= packed, "every file of the package is in the wheel"
