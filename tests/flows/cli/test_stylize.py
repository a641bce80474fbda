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
from atelier.models.encoders.efficientnet_lite0 import EfficientNetLite0
from atelier.models.methods import edit
from atelier.models.methods.gan import Dcgan
from atelier.models.methods.inpaint import Inpaint
from atelier.models.methods.stargan import Stargan
from atelier.models.methods.vae import Vae
from atelier.models.networks.classifier import Classifier
from atelier.tasks.images.codec import decode, encode
from tests.flows.cli.test_app import assert_one_line
from tests.flows.conftest import Atelier
from tests.models.tiny import DCGAN, INPAINT, STARGAN, VAE, pictures
from tests.tasks.inference.test_import_export import ReferenceGenerator


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture, an editor of attributes, a generator, and a file of another program's."""
    root = tmp_path_factory.mktemp("at-hand")
    torch.manual_seed(0)
    method: Any
    for method, config in ((Stargan, STARGAN), (Dcgan, DCGAN), (Inpaint, INPAINT)):
        artifact.save(root / config.name, config, method.build_generator(config, None), {"dataset": "d"})
    encoder = EfficientNetLite0()
    with torch.no_grad():
        networks = edit.learn(
            VAE, Vae.build_generator(VAE, None), Classifier(2, 4), ("warm", "light"), encoder, pictures(1)
        )
    artifact.save(root / "editor", *networks, {"encoder": "efficientnet_lite0"})
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


def test_attributes_are_edited(atelier: Atelier, folder: Path) -> None:
    wishes = ("--with", "warm=0.8", "--without", "dark")
    command = ("edit", "photo.png", "edited.png", "--model", "stargan", *wishes)
    done = atelier(*command, "--sheet", "change.png", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert decode((folder / "change.png").read_bytes()).shape[1] > 1000, "before, after"
    same = atelier("stylize", "photo.png", "edited.png", "--model", "stargan", "--to", "warm=0.8,-dark", cwd=folder)
    assert "this very result" in same.stdout
    before = (folder / "photo.png").read_bytes()
    assert_one_line(atelier(*command, "--sheet", "photo.png", cwd=folder), 2, "photo.png exists and is another file")
    assert (folder / "photo.png").read_bytes() == before
    other = ("edit", "photo.png", "other.png")
    for options, told in (
        (("--model", "stargan"), "say what to change: --with NAME"),
        (("--model", "stargan", "--with", "Beard"), "no attribute 'Beard': it has dark, light, warm"),
        (("--model", "dcgan", "--with", "warm=9"), "'warm=9' is no attribute with an amount"),
        (("--model", "dcgan", "--with", "warm"), "`atelier directions`"),
    ):
        assert_one_line(atelier(*other, *options, cwd=folder), 2, told)
    assert not (folder / "other.png").exists()


@pytest.mark.usefixtures("plane")
def test_an_archive_is_edited(atelier: Atelier, folder: Path) -> None:
    photos = folder / "photos"
    photos.mkdir()
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 32, 3), dtype=np.uint8)
        (photos / f"{seed}.png").write_bytes(encode(pixels, "png"))
    command = ("edit", "photos", "edited", "--model", "editor", "--with", "warm", "--without", "light=0.5")
    done = atelier(*command, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"] == 3
    assert_one_line(atelier(*command, "--sheet", "x.png", cwd=folder), 2, "--sheet is of one picture")
    said = json.loads(atelier("inspect", "edited/0.png", "--json", cwd=folder).stdout)[0]["lineage"]["parameters"]
    assert said["to"] == ["warm", "-light=0.5"]


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
    assert_one_line(atelier("generate", "", "--model", "dcgan", cwd=folder), 2, "an argument is empty")
