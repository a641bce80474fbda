"""Parameters of a job become the controls of the model."""

from pathlib import Path

import numpy as np
import pytest
import torch

from atelier.models.configs.style_statistics import AdainConfig
from atelier.models.controls import Controls, Style, check_controls
from atelier.models.methods.adain import Adain
from atelier.tasks.images.codec import encode
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.controls import controls_from_config, with_absolute_paths
from tests.models.tiny import TinyEncoder

CONFIG = AdainConfig(filters=4)


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_a_picture_with_a_weight_is_a_style(tmp_path: Path) -> None:
    """`--style IMAGE=0.3` beside a style that the model knows."""
    sunset = pixels(0, 30, 40, 3)
    (tmp_path / "sun=set.png").write_bytes(encode(sunset, "png"))
    controls = controls_from_config(StylizeConfig(styles=("sun=set.png=0.3", "trained=0.7")), tmp_path)
    assert [(style.name, style.weight) for style in controls.styles] == [("sun=set.png", 0.3), ("trained", 0.7)]
    assert np.array_equal(controls.styles[0].pixels, sunset)  # type: ignore[arg-type]
    check_controls(AdainConfig, controls)

    torch.manual_seed(0)
    generator = Adain.build_generator(CONFIG, TinyEncoder).eval()
    images = torch.from_numpy(pixels(1, 2, 3, 32, 24))

    def painted(*styles: Style) -> torch.Tensor:
        return Adain.painter(CONFIG, generator, Controls(styles=styles))(images)

    mixed = Adain.painter(CONFIG, generator, controls)(images)
    assert torch.equal(mixed, painted(Style("sunset", 0.3, sunset), Style("trained", 0.7)))
    assert not torch.equal(mixed, painted(Style("sunset", 0.7, sunset), Style("trained", 0.3)))


def test_a_mask_goes_with_its_style(tmp_path: Path) -> None:
    mask = np.zeros((8, 8, 3), np.uint8)
    mask[:, :4] = 255
    for name, picture in (("a.png", pixels(0, 9, 9, 3)), ("mask.png", mask)):
        (tmp_path / name).write_bytes(encode(picture, "png"))
    controls = controls_from_config(StylizeConfig(styles=("a.png",), masks=("mask.png",)), tmp_path)
    assert np.array_equal(controls.styles[0].mask, mask[..., 0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 styles and 2 masks"):
        controls_from_config(StylizeConfig(styles=("a.png",), masks=("mask.png", "mask.png")), tmp_path)


def test_a_label_goes_with_its_style(tmp_path: Path) -> None:
    (tmp_path / "a@1.png").write_bytes(encode(pixels(0, 9, 9, 3), "png"))
    (tmp_path / "labels").mkdir()
    styles = ("a@1.png@2=0.5", "trained@3", "old@home=2")
    config = StylizeConfig(styles=styles[:2], mask_from="labels")
    found = controls_from_config(config, tmp_path).styles
    assert [(s.name, s.label, s.weight) for s in found] == [("a@1.png", 2, 0.5), ("trained", 3, 1.0)]
    whole = with_absolute_paths(config, tmp_path)
    assert whole.mask_from == str(tmp_path / "labels")
    assert controls_from_config(whole, Path("/")).changed() == controls_from_config(config, tmp_path).changed()
    (plain,) = controls_from_config(StylizeConfig(styles=styles[2:]), tmp_path).styles
    assert (plain.name, plain.label, plain.weight) == ("old@home", None, 2.0)
    for wrong in (StylizeConfig(styles=("trained@3",)), StylizeConfig(styles=("trained",), mask_from="labels")):
        with pytest.raises(ValueError, match="labels and label pictures go together"):
            controls_from_config(wrong, tmp_path)


def test_absolute_paths_mean_the_same_from_everywhere(tmp_path: Path) -> None:
    """So that pictures that a workspace names are found from outside of it."""
    (tmp_path / "a=b.png").write_bytes(encode(pixels(0, 9, 9, 3), "png"))
    config = StylizeConfig(styles=("a=b.png=0.3", "trained=0.7"), masks=("a=b.png",) * 2)
    whole = with_absolute_paths(config, tmp_path)
    assert whole.styles == (f"{tmp_path / 'a=b.png'}=0.3", "trained=0.7")
    assert controls_from_config(whole, Path("/")).changed() == controls_from_config(config, tmp_path).changed()


def test_what_is_missing_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none is no folder of label pictures"):
        controls_from_config(StylizeConfig(styles=("trained@1",), mask_from="none"), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"style picture .*/none\.jpg does not exist"):
        controls_from_config(StylizeConfig(styles=("none.jpg",)), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"style picture .*/folder/none\.png does not exist"):
        controls_from_config(StylizeConfig(styles=("folder/none.png=2",)), tmp_path)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"bad\.png cannot be read"):
        controls_from_config(StylizeConfig(styles=("bad.png",)), tmp_path)
    unknown = controls_from_config(StylizeConfig(styles=("picaso",)), tmp_path)
    with pytest.raises(ValueError, match="'picaso' is no picture file"):
        Adain.painter(CONFIG, Adain.build_generator(CONFIG, TinyEncoder), unknown)
