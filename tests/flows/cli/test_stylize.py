"""Models in folders, without a workspace: one picture, pictures from noise, in from and out to other programs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from atelier.models import artifact
from atelier.models.methods.gan import Dcgan
from atelier.models.methods.inpaint import Inpaint
from atelier.models.methods.stargan import Stargan
from atelier.tasks.images.codec import decode, encode
from tests.flows.cli.test_app import assert_one_line
from tests.flows.conftest import Atelier
from tests.models.tiny import DCGAN, INPAINT, STARGAN
from tests.tasks.inference.test_import_export import ReferenceGenerator


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture, an editor of attributes, a generator, and a file of another program's."""
    root = tmp_path_factory.mktemp("at-hand")
    torch.manual_seed(0)
    method: Any
    for method, config in ((Stargan, STARGAN), (Dcgan, DCGAN), (Inpaint, INPAINT)):
        artifact.save(root / config.name, config, method.build_generator(config, None), {"dataset": "d"})
    torch.save(ReferenceGenerator().state_dict(), root / "net_G_A.pth")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 44, 3), dtype=np.uint8)
    (root / "photo.png").write_bytes(encode(pixels, "png"))
    return root


def test_one_picture(atelier: Atelier, folder: Path) -> None:
    command = ("stylize", "photo.png", "out/painted.jpg", "--model", "stargan")
    done = atelier(*command, "--to", "-dark,warm", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert decode(Path(json.loads(done.stdout)["file"]).read_bytes()).shape == (30, 44, 3)
    said = json.loads(atelier("inspect", "out/painted.jpg", "--json", cwd=folder).stdout)[0]["lineage"]
    assert (said["model"]["name"], said["parameters"]["to"]) == ("stargan", ["-dark", "warm"])
    both = atelier("inspect", "out/painted.jpg", "photo.png", cwd=folder)
    assert both.returncode == 2
    assert both.stderr == "atelier: photo.png does not say that atelier made it\n"
    for word in ("out/painted.jpg", "stargan", "dataset", "to ['-dark', 'warm']", "revision", "input"):
        assert word in both.stdout
    assert_one_line(atelier(*command, "--to", "Beard", cwd=folder), 2, "'Beard'", "dark, light, warm")
    assert_one_line(atelier(*command, "--style", "warm", cwd=folder), 2, "stargan has no control 'styles'")
    assert_one_line(atelier(*command, "--strength", "2", cwd=folder), 2, "--strength", "at most 1")
    assert_one_line(atelier(*command, "--stroke", "wide", cwd=folder), 2, "--stroke", "from 0.2 to 8", "not 'wide'")
    assert_one_line(atelier(*command, cwd=folder), 2, "out/painted.jpg exists")


def test_an_object_is_added_to_one_picture(atelier: Atelier, folder: Path) -> None:
    thing = np.zeros((12, 10, 4), np.uint8)
    thing[1:9, 1:9] = 250, 10, 10, 255
    Image.fromarray(thing).save(folder / "thing.png")
    command = ("stylize", "photo.png", "with.png", "--model", "inpaint")
    placed = ("--at", "-10,50%", "--scale", "0.5")
    done = atelier(*command, "--insert", "thing.png", *placed, cwd=folder)
    assert done.returncode == 0, done.stderr
    before, after = (decode((folder / name).read_bytes()) for name in ("photo.png", "with.png"))
    there = (before != after).any(2)
    assert there[13:17, 32:36].all()
    there[12:18, 31:37] = False
    assert not there.any()
    said = json.loads(atelier("inspect", "with.png", "--json", cwd=folder).stdout)[0]["lineage"]["parameters"]["insert"]
    assert (said["name"], said["at"], said["scale"]) == ("thing.png", "-10,50%", "0.5")
    (folder / "cut.png").write_bytes((folder / "thing.png").read_bytes()[:60])
    for options, told in (
        (("--insert", "photo.png"), "photo.png has no transparency"),
        (("--insert", "cut.png"), "cut.png cannot be read"),
        (("--insert", "thing.png", "--at", "middle"), "a place is X,Y"),
        (placed, "--at and --scale are of an object"),
    ):
        assert_one_line(atelier(*command, *options, cwd=folder), 2, told)


def test_in_from_and_out_to_other_programs(atelier: Atelier, folder: Path) -> None:
    done = atelier("models", "import", "net_G_A.pth", "imported", "--style", "monet", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "2 blocks, 8 filters" in done.stdout
    done = atelier("models", "export", "imported", "monet.onnx", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["largest_difference"] < 1e-3
    done = atelier("models", "export", "imported", "hub", "--format", "hf", "--json", cwd=folder)
    assert json.loads(done.stdout)["files"] == ["README.md", "generator.safetensors", "model.json", "model.onnx"]
    card = (folder / "hub/README.md").read_text()
    assert card.startswith("---\nlibrary_name:")
    assert "| style | monet |" in card
    assert_one_line(atelier("models", "export", "imported", "hub", "--format", "hf", cwd=folder), 2, "hub", "not empty")
    done = atelier("models", "export", "imported", "served", "--format", "mlflow", "--json", cwd=folder)
    assert json.loads(done.stdout)["files"] == ["MLmodel", "model.onnx", "requirements.txt"]
    described = YAML(typ="safe").load((folder / "served/MLmodel").read_text())
    assert described["flavors"]["python_function"]["data"] == "model.onnx"
    assert json.loads(described["signature"]["inputs"])[0]["name"] == "pictures"
    wrong = ("models", "export", "imported", "other.onnx")
    assert_one_line(atelier(*wrong, "--to", "warm", cwd=folder), 2, "imported has no control 'to'")
    assert_one_line(atelier("models", "export", "nowhere", "x.onnx", cwd=folder), 2, "nowhere", "no folder")


@pytest.mark.usefixtures("plane")
def test_pictures_from_noise(atelier: Atelier, folder: Path) -> None:
    command = ("generate", "faces", "--model", "dcgan", "--count", "3", "--interpolate", "2")
    done = atelier(*command, cwd=folder)
    assert done.returncode == 0, done.stderr
    made = {path.name: path.stat().st_mtime_ns for path in (folder / "faces").iterdir()}
    assert set(made) == {"000000.png", "000001.png", "000002.png", "grid.png", "interpolation.png"}
    again = atelier(*command, cwd=folder)
    assert "nothing was left to make" in again.stdout
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "faces").iterdir()} == made
    assert_one_line(atelier("generate", "faces", "--model", "stargan", cwd=folder), 2, "use `atelier stylize`")
