"""A model folder comes back as it was, or says in one line what is wrong with it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from atelier.models import artifact
from atelier.models.controls import Controls
from tests.models.tiny import CONFIG, assert_precision_is_kept, pictures, trainer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = trainer().generator_ema
    nn.init.normal_(generator.draw.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    artifact.save(tmp_path / "model", CONFIG, generator, {"dataset": "abc", "training": {"steps": 6}})
    return tmp_path / "model"


def test_round_trip(folder: Path) -> None:
    model = artifact.load(folder)
    assert model.config == CONFIG
    assert model.card.dataset == "abc"
    assert model.card.method == "cpgan"
    images = pictures(0)[:2]
    painted = model.painter()(images)
    assert painted.shape == images.shape
    assert not torch.equal(painted, images)
    assert_precision_is_kept(model.painter(), images)
    assert torch.equal(model.painter(Controls(strength=0.0))(images), images)
    assert sorted(p.name for p in folder.iterdir()) == ["generator.safetensors", "model.json"]


def edit(**changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "model.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def cut(folder: Path) -> None:
    path = folder / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.json").unlink(), "is no model folder .model.json is missing"),
        (lambda f: (f / "generator.safetensors").unlink(), "generator.safetensors is missing"),
        (lambda f: (f / "model.json").write_text('{"format": 1'), "model.json is damaged"),
        (lambda f: (f / "model.json").write_text("[]"), "model.json is damaged"),
        (lambda f: (f / "model.json").write_bytes(b"\xff\xfe"), "model.json is damaged"),
        (cut, "is damaged or cut short"),
        (edit(format=99), "has model format 99; this version reads 1"),
        (edit(method="pix2pix"), "method 'pix2pix' is unknown to this version"),
        (edit(method=["x"]), "model.json is damaged"),
        (edit(config={"filters": 8}), "does not hold the network that model.json describes"),
        (edit(config={"colour": 8}), "has a config that cpgan does not take"),
        (edit(config={"filters": "many"}), "has a config that cpgan does not take"),
        (edit(config=None), "model.json is damaged"),
    ],
)
def test_damage_is_named(folder: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(folder)
    with pytest.raises((FileNotFoundError, ValueError), match=message) as caught:
        artifact.load(folder)
    assert "\n" not in str(caught.value)
