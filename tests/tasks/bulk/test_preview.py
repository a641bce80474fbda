"""The preview of a job: a sample by every column's model, and nothing at the destination."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from atelier.models import artifact
from atelier.models.card import identify
from atelier.models.controls import Controls
from atelier.tasks.bulk.preview import CELL_PX, DETAIL_PX, preview
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.images.codec import decode, encode
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.model_lookup import find_model
from atelier.tasks.reports.detail import detailed_window
from tests.tasks.restorers import save_restorer

HOSTILE = "<img src=x onerror=alert(1)>.png"


def test_a_spread_sample_by_every_model_and_strength(tmp_path: Path, tiny_model: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for index in range(9):
        pixels = np.random.default_rng(index).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        (source / f"{index}.png").write_bytes(encode(pixels, "png"))
    (source / HOSTILE).write_bytes((source / "0.png").read_bytes())
    (source / "9.png").write_bytes(b"not a picture")
    identity = identify(tiny_model, "style-model", "v1.0.0")
    job = StylizeRequest((str(source),), out, tiny_model, StylizeConfig(), identity, tmp_path)
    jobs = [job, replace(job, config=StylizeConfig(strength=0.5))]
    made = preview(jobs, 11, tmp_path / "preview")
    assert (made.shown, made.total) == (10, 11)
    assert made.columns == ("style-model v1.0.0 at 1", "style-model v1.0.0 at 0.5")
    assert list(made.unreadable) == ["9.png"]
    height, width, _ = decode(made.sheet.read_bytes()).shape
    assert height > 10 * CELL_PX
    assert width > 3 * CELL_PX
    page = made.page.read_text()
    assert page.count("<button") == 20
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert not out.exists()
    few = preview([job], 3, tmp_path / "few")
    assert few.columns == ("style-model v1.0.0",)
    assert 'title="3.png"' in few.page.read_text(), "from the middle too"
    labelled = replace(job, config=StylizeConfig(keep_from=str(source)))
    with pytest.raises(ValueError, match="label pictures"):
        preview([labelled], 3, tmp_path / "none")


def test_what_changes_fine_detail_is_shown_at_full_resolution(tmp_path: Path, tiny_model: Path) -> None:
    """Of a large picture the window with the detail, or with the box that is removed; columns are of one size."""
    (tmp_path / "in").mkdir()
    pixels = np.full((1200, 1600, 3), 128, np.uint8)
    pixels[500:700, 900:1100] = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    (tmp_path / "in/large.png").write_bytes(encode(pixels, "png"))
    double, denoise = (save_restorer(tmp_path / f"of{scale}", scale) for scale in (2, 1))
    source, base = (str(tmp_path / "in"),), tmp_path
    jobs = [
        StylizeRequest(source, "", folder, StylizeConfig(), identify(folder, folder.name, ""), base)
        for folder in (double, denoise, tiny_model)
    ]
    made = preview(jobs, 1, tmp_path / "preview")
    sheet = decode(made.sheet.read_bytes())
    assert sheet.shape[0] < 2 * DETAIL_PX
    cells = sheet[-DETAIL_PX - 4 : -4, -4 * (DETAIL_PX + 4) :].reshape(DETAIL_PX, 4, DETAIL_PX + 4, 3)
    assert (cells[:, 0, :DETAIL_PX].std((0, 1)) > 40).all(), "half of the window is noise, enlarged"
    top, left = 600 - 120, 1000 - 120
    whole = artifact.load(double).painter(Controls())(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    window = detailed_window(pixels, DETAIL_PX // 2)
    assert abs(window[0].start - top) <= 120
    assert abs(window[1].start - left) <= 120
    expected = whole[0, :, 2 * window[0].start : 2 * window[0].stop, 2 * window[1].start : 2 * window[1].stop]
    assert np.abs(cells[:, 1, :DETAIL_PX].astype(int) - expected.permute(1, 2, 0).numpy()).max() <= 1


def test_the_window_has_the_box_that_is_removed(tmp_path: Path) -> None:
    pixels = np.full((900, 1200, 3), 128, np.uint8)
    pixels[800:840, 1000:1100] = 255
    (tmp_path / "in").mkdir()
    (tmp_path / "in/dated.png").write_bytes(encode(pixels, "png"))
    config = StylizeConfig(remove=("-210,-110,120,60", "0,0,10,10"))
    model = find_model("starter/inpaint", None)
    made = preview([StylizeRequest((str(tmp_path / "in"),), "", model.folder, config, model.identity)], 1, tmp_path)
    sheet = decode(made.sheet.read_bytes())[-DETAIL_PX:, -2 * DETAIL_PX - 4 :]
    assert (sheet[100:-100, 100 : DETAIL_PX - 100] == 255).all(2).mean() > 0.01, "the photograph"
    assert not (sheet[100:-100, DETAIL_PX + 100 : -100] == 255).all(2).any(), "without the date"
