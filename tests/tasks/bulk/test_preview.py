"""The preview of a job: a sample by every column's model, and nothing at the destination."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atelier.models import artifact
from atelier.models.card import identify
from atelier.models.methods.inpaint import Inpaint
from atelier.tasks.bulk.preview import CELL_PX, preview
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.images.codec import decode, encode
from atelier.tasks.inference.config import StylizeConfig
from tests.models.tiny import INPAINT

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
    artifact.save(tmp_path / "filler", INPAINT, Inpaint.build_generator(INPAINT, None), {})
    removal = replace(job, model=tmp_path / "filler", identity=identify(tmp_path / "filler", "filler", ""))
    with pytest.raises(ValueError, match="in percent"):
        preview([replace(removal, config=StylizeConfig(remove=("0,0,5%,5%",)))], 3, tmp_path / "few")
    labelled = replace(job, config=StylizeConfig(keep_from=str(source)))
    with pytest.raises(ValueError, match="label pictures"):
        preview([labelled], 3, tmp_path / "none")
