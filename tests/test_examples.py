"""Every example runs as its text says."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atelier.models import artifact
from tests.plugin import EXAMPLE
from tests.tasks.training.test_train import make_training_set

pytestmark = pytest.mark.long

FOLDER = EXAMPLE.parent
SCRIPTS = sorted(FOLDER.glob("*.py"))


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def pictures(folder: Path, count: int, low: int) -> Path:
    folder.mkdir()
    for seed in range(count):
        pixels = np.random.default_rng(seed).integers(low, low + 100, (40, 52, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    return folder


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_help(script: Path) -> None:
    done = run(script.name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"python examples/{script.name}" in done.stdout


def test_there_is_a_test_for_each() -> None:
    assert {path.stem for path in SCRIPTS} == {"paint_one", "paint_folder", "train_plain", "read_dataset"}


def test_paint_one(tmp_path: Path) -> None:
    photo, style = pictures(tmp_path / "photos", 2, 0).iterdir()
    done = run("paint_one.py", photo, tmp_path / "out.png", "--model", "starter/any-style", "--style", style)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out.png") as painted:
        assert painted.size == (52, 40)


def test_paint_folder(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 2, 0)
    done = run("paint_folder.py", tmp_path / "photos", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png"]


def test_train_plain(tmp_path: Path) -> None:
    folders = pictures(tmp_path / "photos", 3, 0), pictures(tmp_path / "paintings", 3, 150)
    done = run("train_plain.py", *folders, tmp_path / "model", "--steps", 2, "--batch", 2, "--size", 64)
    assert done.returncode == 0, done.stderr
    assert artifact.load(tmp_path / "model").card.method == "cpgan"


def test_read_dataset(tmp_path: Path) -> None:
    data = make_training_set(tmp_path / "dataset")
    done = run("read_dataset.py", data)
    if importlib.util.find_spec("datasets") is None:
        assert done.returncode == 1
        assert done.stderr == "this example needs Hugging Face datasets: pip install datasets\n"
        pytest.skip("the rest needs Hugging Face datasets")
    assert done.returncode == 0, done.stderr
    assert "first picture: 32 x 32, mode RGB" in done.stdout
    assert "photos/train: 10" in done.stdout
