"""Reading an object: any picture with transparency, in bounds; what cannot be one is refused in a line."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atelier.tasks.inference.config import InsertConfig, StylizeConfig
from atelier.tasks.inference.controls import controls_from_config, with_absolute_paths
from atelier.tasks.inference.inserted_object import load_object


def save(path: Path, mode: str = "RGBA", *, alpha: int = 200) -> Path:
    """A picture of 30 × 20 px that is seen in a box of 12 × 7 px."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    pixels[..., 3] = 0
    pixels[5:12, 8:20, 3] = alpha
    Image.fromarray(pixels).convert(mode).save(path)
    return path


@pytest.mark.parametrize(("name", "mode"), [("a.png", "RGBA"), ("a.png", "LA"), ("a.webp", "RGBA"), ("a.tif", "RGBA")])
def test_what_is_transparent_around_it_is_cut_off(tmp_path: Path, name: str, mode: str) -> None:
    file = save(tmp_path / name, mode)
    found = load_object(file, "10%,20%", "0.5")
    assert (found.pixels.shape, found.alpha.shape) == ((7, 12, 3), (7, 12))
    assert (found.alpha == 200).all()
    assert found.record() == {
        "name": name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "at": "10%,20%", "scale": "0.5"
    }  # fmt: skip


def test_objects_that_are_none_are_refused(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:300])
    (tmp_path / "text.png").write_text("no picture")
    save(tmp_path / "opaque.png", "RGB")
    Image.new("RGBA", (9, 9), "red").save(tmp_path / "full.png")
    save(tmp_path / "nothing.png", alpha=0)
    Image.new("LA", (5000, 5000)).save(tmp_path / "large.png")
    frames = [Image.open(tmp_path / "whole.png"), Image.open(tmp_path / "nothing.png")]
    frames[0].save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    for name, told in {
        "none.png": "none.png does not exist",
        "cut.png": "cut.png cannot be read: the file is damaged",
        "text.png": "text.png cannot be read: not a picture",
        "opaque.png": "opaque.png has no transparency",
        "full.png": "full.png has no transparency",
        "nothing.png": "nothing.png is wholly transparent",
        "large.png": "25,000,000 pixels, more than the limit of 16,777,216",
        "moving.png": "moving.png cannot be read: .* frames",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError), match=told):
            load_object(tmp_path / name, "50%,50%", "1")


def test_parameters_become_an_object(tmp_path: Path) -> None:
    save(tmp_path / "logo.png")
    config = StylizeConfig(insert=InsertConfig("logo.png", "5,6", "0.5"))
    found = controls_from_config(config, tmp_path, fills=True).insert
    assert found is not None
    assert (found.name, found.at, found.scale) == ("logo.png", "5,6", "0.5")
    assert with_absolute_paths(config, tmp_path).insert.object == str(tmp_path / "logo.png")
    assert not with_absolute_paths(StylizeConfig(), tmp_path).insert.object
    with pytest.raises(ValueError, match="--at and --scale are of an object"):
        controls_from_config(StylizeConfig(insert=InsertConfig(at="5,6")), tmp_path)
    small = StylizeConfig(insert=InsertConfig("logo.png", "5%,6%", "0.5"), size=100)
    with pytest.raises(ValueError, match="places and scales in percent"):
        controls_from_config(small, tmp_path)
