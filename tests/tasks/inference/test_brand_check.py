"""Colours that are a brand's, and copies of its pictures, are found."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atelier.tasks.images.codec import Pixels, encode
from atelier.tasks.inference.brand_check import check_brand
from atelier.tasks.storage import sample_images
from atelier.tasks.storage.sample_images import PARENTS


def picture(name: str) -> Pixels:
    (parent,) = (parent for parents in PARENTS.values() for parent in parents if parent.name == name)
    return sample_images.photograph(parent, 330)


def test_colours_and_copies(tmp_path: Path) -> None:
    brand, outputs = tmp_path / "brand", tmp_path / "outputs"
    for folder in (brand, outputs, outputs / "_atelier"):
        folder.mkdir()
    for name in ("dahlia", "pagoda"):
        (brand / f"{name}.png").write_bytes(encode(picture(name), "png"))
    (outputs / "cup.png").write_bytes(encode(picture("coffee-cup"), "png"))
    (outputs / "_atelier" / "report.png").write_bytes(b"no picture of ours")
    own, matches = check_brand(outputs, brand)
    assert (own.checked, own.copied) == (1, ())
    assert own.passed
    (tmp_path / "tissue.png").write_bytes(encode(picture("tissue"), "png"))
    other, _ = check_brand(tmp_path / "tissue.png", brand)
    assert (other.passed, other.copied) == (False, ()), "its colours are others"
    assert next(iter(matches.values())).window.shape == (64, 64, 3)

    copied = picture("coffee-cup").copy()
    noise = np.random.default_rng(0).normal(0, 5, (120, 120, 3))
    copied[90:210, 150:270] = np.clip(0.9 * picture("pagoda")[100:220, 90:210] + noise + 10, 0, 255)
    (outputs / "copied.png").write_bytes(encode(copied, "png"))
    found, _ = check_brand(outputs, brand)
    assert found.copied == (str(outputs / "copied.png"),)
    assert "copied.png" in found.summary

    close, _ = check_brand(brand / "dahlia.png", brand)
    assert close.palette_distance < 5
    assert not close.passed, "it is the brand's picture itself"
    assert replace(close, copied=()).passed
    with pytest.raises(ValueError, match="holds no pictures"):
        check_brand(outputs / "_atelier", brand)
