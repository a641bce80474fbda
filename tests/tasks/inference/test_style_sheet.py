"""The styles of a model, by name, on one picture."""

from pathlib import Path

import numpy as np
import pytest

from atelier.tasks.images import codec
from atelier.tasks.inference.style_sheet import style_names, write_style_sheet
from atelier.tasks.registry.starter_models import FOLDER


def test_every_style_has_its_place(tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    picture.write_bytes(codec.encode(np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8), "png"))
    names = style_names(FOLDER / "paintings")
    assert len(set(names)) >= 12
    write_style_sheet(FOLDER / "paintings", picture, tmp_path / "sheet.png")
    sheet = codec.decode((tmp_path / "sheet.png").read_bytes())
    assert sheet.shape[0] < 3 * 260, "no empty squares around pictures that are wide"
    with pytest.raises(FileExistsError, match="choose another name"):
        write_style_sheet(FOLDER / "paintings", picture, tmp_path / "sheet.png")
    assert style_names(FOLDER / "any-style") == ()
    with pytest.raises(ValueError, match="any-style knows no style by name"):
        write_style_sheet(FOLDER / "any-style", picture, tmp_path / "other.png")
