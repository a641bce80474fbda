"""The dry run of a job."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atelier.models.card import identify
from atelier.tasks.bulk.dry_run import SAMPLE, DryRun, dry_run
from atelier.tasks.bulk.inputs import ALL_INPUTS
from atelier.tasks.bulk.request import Rerun, StylizeRequest
from atelier.tasks.bulk.stylize import stylize
from atelier.tasks.images.codec import encode
from atelier.tasks.inference.config import StylizeConfig

PICTURES = 60


@pytest.mark.usefixtures("ray_cluster")
def test_a_sample_tells_what_a_job_would_take_and_writes_nothing(tmp_path: Path, tiny_model: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for index in range(PICTURES):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        (source / f"{index:02d}.png").write_bytes(encode(pixels, "png") if index % 4 else b"not a picture")
    (source / "notes.txt").write_text("no picture")
    (source / "nowhere.png").symlink_to("nothing")
    identity, config = identify(tiny_model, "style-model", "v1"), StylizeConfig()
    before = sorted(tmp_path.rglob("*"))

    def estimate() -> DryRun:
        return dry_run(
            StylizeRequest((str(source),), out, tiny_model, config, identity, base=tmp_path, selection=ALL_INPUTS),
            connect=lambda: None,
        )

    found = estimate()
    assert sorted(tmp_path.rglob("*")) == before
    assert (found.total, found.pictures, found.no_pictures, found.unreadable) == (PICTURES + 2, PICTURES, 1, 1)
    assert found.sampled == SAMPLE
    assert 0 < found.failed < SAMPLE / 2
    assert found.minutes == pytest.approx(PICTURES / found.images_per_second / 60, abs=0.01)

    stylize(StylizeRequest((str(source),), out, tiny_model, config, identity), connect=lambda: None)
    written = sum(path.stat().st_size for path in out.glob("*.png"))
    assert found.gigabytes * 1e9 == pytest.approx(written, rel=0.5, abs=1e5)
    page = (out / "_atelier/report.html").read_text()
    assert page.count("data:image/jpeg") >= 2
    assert "not a picture in a supported format" in page
    again = estimate()
    assert (again.settled, again.pictures, again.plan) == (PICTURES + 2, 0, None)
    storm = replace(identity, name="storm", version="")
    request = StylizeRequest((str(source),), out, tiny_model, config, storm, base=tmp_path)
    for wrong, reason in (
        (request, r"it was made by style-model@v1, you ask for storm\."),
        (replace(request, identity=replace(identity, weights_sha256="0" * 64)), "with the weights 000000000000"),
        (replace(request, destination=source / "out"), "lie in each other"),
        (replace(request, destination=tmp_path), "lie in each other"),
        (replace(request, destination=source.parent / "in/00.png"), "lie in each other|not a folder"),
        (replace(request, identity=identity, rerun=Rerun(max_quarantine="1")), "more than the limit of 1"),
    ):
        for refuses in (dry_run, stylize):
            with pytest.raises((ValueError, NotADirectoryError, RuntimeError), match=reason):
                refuses(wrong, connect=lambda: None)
