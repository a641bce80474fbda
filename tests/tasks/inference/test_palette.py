"""The palette of pictures, and outputs that stay near it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from atelier.models.color_table import through
from atelier.models.controls import Controls
from atelier.tasks.images.codec import encode
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.controls import controls_from_config, with_absolute_paths
from atelier.tasks.inference.palette import palette_of
from atelier.tasks.inference.palette_lock import LIMIT, distances, lock_table

PALETTE = ("#101830", "#20409a", "#80b0d0", "#d06030", "#f0e0b0")


def test_a_table_of_all_colours_changes_none_and_others_are_looked_up() -> None:
    axis = torch.linspace(-1, 1, 9)
    table = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), 3)
    x = torch.rand(2, 3, 5, 7) * 2 - 1
    torch.testing.assert_close(through(x, table), x)
    torch.testing.assert_close(through(x, table.flip(0))[:, 0], -x[:, 0])
    torch.testing.assert_close(through(x, table.flip(2))[:, 2], -x[:, 2])


def test_the_lock_brings_every_colour_near_the_palette_and_keeps_its_own() -> None:
    colors = np.random.default_rng(0).integers(0, 256, (1, 3, 40, 50), np.uint8)
    x = torch.from_numpy(colors).float() / 127.5 - 1
    locked = ((through(x, lock_table(PALETTE)) + 1) * 127.5).round().to(torch.uint8)
    before, after = (distances(y.transpose(0, 2, 3, 1).reshape(-1, 3), PALETTE) for y in (colors, locked.numpy()))
    assert np.median(before) > 15
    assert np.median(after) <= 5
    own = torch.tensor([list(bytes.fromhex(color[1:])) for color in PALETTE]).T[None, :, None].float()  # (1, 3, 1, 5)
    kept = (through(own / 127.5 - 1, lock_table(PALETTE)) + 1) * 127.5
    assert distances(kept[0, :, 0].T.round().numpy().astype(np.uint8), PALETTE).max() < LIMIT


def test_a_palette_has_the_colours_of_the_pictures(tmp_path: Path) -> None:
    pictures = [np.full((40, 60, 3), color, np.uint8) for color in ((200, 40, 30), (20, 60, 160))]
    assert palette_of(pictures) == ("#143ca0", "#c8281e")
    for number, picture in enumerate(pictures):
        (tmp_path / f"{number}.png").write_bytes(encode(picture, "png"))
    config = with_absolute_paths(StylizeConfig(palette=tmp_path.name), tmp_path.parent)
    controls = controls_from_config(config, Path("/"))
    assert "#c8281e" in controls.palette
    assert controls.changed()["palette"] == list(controls.palette), "it is in the provenance of outputs"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no pictures"):
        controls_from_config(replace(config, palette=str(tmp_path / "empty")), Path("/"))
    assert Controls().changed() == {}
