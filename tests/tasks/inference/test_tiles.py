"""Large pictures are painted in tiles if the model can, and quarantined with advice if it cannot."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from atelier.models import artifact
from atelier.models.card import identify
from atelier.models.configs.style_statistics import ColorConfig
from atelier.models.controls import Controls
from atelier.models.methods.color import Color
from atelier.tasks.bulk.admission import image_memory
from atelier.tasks.bulk.job import JobFolder
from atelier.tasks.bulk.ledger import Ledger
from atelier.tasks.bulk.messages import TASK_SCHEMA, JobSpec, JobStep
from atelier.tasks.bulk.worker import StylizeWorker
from atelier.tasks.images.codec import BadImage
from atelier.tasks.images.provenance import read
from atelier.tasks.inference import backends
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.execution_plan import Execution, ExecutionPlan
from atelier.tasks.inference.input_limits import limits_for
from atelier.tasks.inference.single_image import stylize_image
from atelier.tasks.storage.open_destination import open_destination

CONFIG = StylizeConfig(format="keep")
WHOLE = ExecutionPlan(version=torch.__version__)
TILES = replace(WHOLE, whole_pixels=10_000, tile_px=64)
STROKES = replace(WHOLE, reference_px=128)


@pytest.fixture(scope="module")
def color(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that looks at the whole picture."""
    folder = tmp_path_factory.mktemp("color")
    artifact.save(folder, ColorConfig(), Color.build_generator(ColorConfig(), None), {})
    return folder


def photograph(height: int, width: int) -> np.ndarray:
    """uint8 (height, width, 3): slopes with grain."""
    slope = np.linspace(0, 200, height)[:, None, None] * np.linspace(0.3, 1, width)[:, None] * np.array([1, 0.8, 0.6])
    return (slope + np.random.default_rng(0).integers(0, 50, (height, width, 3))).astype(np.uint8)


def order(destination: Path, model: Path, plan: ExecutionPlan, config: StylizeConfig = CONFIG) -> JobSpec:
    step = JobStep(model, identify(model, "m", "v1"), Controls(), Execution(plan))
    return JobSpec(destination, (step,), config, 1)


def painted(order: JobSpec, paths: Sequence[Path]) -> list[np.ndarray]:
    """What a worker makes of these files; all are done."""
    Path(order.destination, "_atelier/inflight").mkdir(parents=True)
    facts = {"source": "", "etag": "", "kind": "file", "member": "", "offset": 0, "problem": ""}
    rows = [
        {"input": p.name, "output": p.name, "stamp": "", "name": p.name, "path": str(p), "size": p.stat().st_size}
        | facts
        for p in paths
    ]
    threads = torch.get_num_threads()
    answer = StylizeWorker(order)(pa.Table.from_pylist(rows, TASK_SCHEMA)).to_pylist()
    torch.set_num_threads(threads)
    assert {(row["state"], row["reason"]) for row in answer} <= {("done", "")}, answer
    return [np.asarray(Image.open(Path(order.destination, p.name))).astype(int) for p in paths]


def test_a_worker_whose_plan_has_tiles_paints_what_another_paints(tmp_path: Path, tiny_model: Path) -> None:
    Image.fromarray(photograph(150, 203)).save(tmp_path / "large.png")
    Image.fromarray(photograph(97, 103)).save(tmp_path / "small.png")
    Image.fromarray(photograph(150, 203)[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.tif")
    paths = [tmp_path / name for name in ("large.png", "small.png", "deep.tif")]
    whole = painted(order(tmp_path / "whole", tiny_model, WHOLE), paths)
    tiled = painted(order(tmp_path / "tiled", tiny_model, TILES), paths)
    assert np.abs(tiled[0] - whole[0]).max() <= 1
    assert np.abs(whole[0] - np.asarray(Image.open(paths[0])).astype(int)).mean() > 5
    assert np.array_equal(tiled[1], whole[1])
    assert np.abs(tiled[2] - whole[2]).max() <= 3, "of 65535"


def test_a_worker_whose_plan_has_strokes_paints_large_pictures_smaller(tmp_path: Path, tiny_model: Path) -> None:
    Image.fromarray(photograph(150, 203)).save(tmp_path / "large.png")
    Image.fromarray(photograph(97, 103)).save(tmp_path / "small.png")
    alpha = np.full((150, 203, 1), 77, np.uint8)
    Image.fromarray(np.concatenate([photograph(150, 203), alpha], 2)).save(tmp_path / "alpha.png")
    Image.fromarray(photograph(150, 203)[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.tif")
    paths = [tmp_path / name for name in ("large.png", "small.png", "alpha.png", "deep.tif")]
    whole = painted(order(tmp_path / "whole", tiny_model, WHOLE), paths[:2])
    large, small, alpha, deep = painted(order(tmp_path / "strokes", tiny_model, STROKES), paths)
    assert np.array_equal(small, whole[1]), "a picture up to the reference is painted as it is"
    assert large.shape == whole[0].shape
    assert np.abs(large - whole[0]).mean() > 3
    assert np.array_equal(alpha[..., :3], large)
    assert (alpha[..., 3] == 77).all()
    assert (deep % 257).any(), "16 bits have their precision"
    made = read((tmp_path / "strokes/large.png").read_bytes())
    assert made
    assert made.parameters["plan"] == STROKES.record


def test_the_plan_has_the_strokes_and_an_older_one_none(tmp_path: Path, color: Path, tiny_model: Path) -> None:
    trained = artifact.load(tiny_model)
    plan = backends.default_plan(trained, Controls(stroke=2.0))
    assert (plan.reference_px, plan.stroke, plan.exact.stroke) == (640, 2.0, 2.0)
    sizes = [(4000, 3000), (640, 500), (76, 10)]
    assert [plan.working_size(*size) for size in sizes] == [(320, 240), (320, 250), (38, 5)]
    assert [plan.batch_size(*size) for size in sizes] == [1, 1, 16]
    assert replace(plan, stroke=1.0).working_size(500, 400) == (500, 400)
    assert replace(plan, stroke=0.5).working_size(500, 400) == (1000, 800)
    assert replace(plan, stroke=8.0).batch_size(1000, 1000) == 4, "memory limits a batch of pictures painted small"
    for model, stroke in ((tiny_model, "full"), (color, 1.0)):
        unscaled = backends.default_plan(artifact.load(model), Controls(stroke=stroke))
        assert (unscaled.reference_px, unscaled.working_size(4000, 3000)) == (0, (4000, 3000))
    content = {key: value for key, value in asdict(TILES).items() if key not in ("reference_px", "stroke")}
    assert ExecutionPlan(**content) == TILES, "a job that began before goes on at full size"
    assert limits_for(CONFIG, replace(STROKES, tile_px=0)).max_pixels == CONFIG.max_pixels
    wide = order(tmp_path, tiny_model, replace(plan, stroke=1.0))
    assert image_memory(48 * 10**6, wide) == 600 * 640**2 + 60 * 48 * 10**6
    assert image_memory(10**5, wide) == 660 * 10**5


def test_what_cannot_be_tiled_keeps_its_limit_and_says_so(tmp_path: Path, color: Path, tiny_model: Path) -> None:
    plan = backends.default_plan(artifact.load(color), Controls())
    assert (plan.whole_pixels, plan.tile_px) == (2**24, 0)
    assert limits_for(CONFIG, plan).max_pixels == 2**24
    assert limits_for(replace(CONFIG, max_pixels=1000), plan).max_pixels == 1000
    assert limits_for(CONFIG, TILES).max_pixels == CONFIG.max_pixels > 150_000_000
    assert image_memory(10**9, order(tmp_path, color, plan)) == 600 * 2**24
    assert image_memory(10**6, order(tmp_path, tiny_model, replace(TILES, whole_pixels=2**22))) == 600 * 10**6
    assert image_memory(10**8, order(tmp_path, tiny_model, replace(TILES, whole_pixels=2**22))) == 100 * 10**8
    wide = tmp_path / "wide"
    wide.mkdir()
    (wide / "model.json").write_text(json.dumps({"format": 1, "method": "cpgan", "config": {"filters": 72}}))
    given = order(tmp_path, tiny_model, replace(TILES, whole_pixels=2**22))
    given = replace(given, steps=(replace(given.steps[0], model=wide),))
    assert image_memory(10**8, given) == 3 * 100 * 10**8

    Image.fromarray(np.zeros((150, 203, 3), np.uint8)).save(tmp_path / "large.png")
    smaller = replace(plan, whole_pixels=10_000)
    with pytest.raises(AssertionError):
        painted(order(tmp_path / "out", color, smaller), [tmp_path / "large.png"])
    (row,) = Ledger(open_destination(tmp_path / "out") / "_atelier" / "ledger").read().to_pylist()
    assert (row["state"], row["reason"]) == (
        "quarantined",
        "the picture, 203 × 150, has 30,450 pixels, more than the limit of 10,000 for a model that cannot paint in "
        "tiles: --size makes it smaller",
    )
    painted(order(tmp_path / "made", color, smaller, replace(CONFIG, size=80)), [tmp_path / "large.png"])


def test_one_picture_goes_the_same_way(
    tmp_path: Path, color: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(photograph(150, 203)).save(tmp_path / "a.png")
    made = []
    for name, most in (("whole", backends.WHOLE_PIXELS), ("tiled", 10_000)):
        monkeypatch.setattr(backends, "WHOLE_PIXELS", most)
        monkeypatch.setattr(backends, "TILE_PX", 64)
        stylize_image(tmp_path / "a.png", tmp_path / f"{name}.png", tiny_model, CONFIG, identify(tiny_model, "m", ""))
        made.append(np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int))
    assert 0 <= np.abs(made[1] - made[0]).max() <= 1
    Image.fromarray(np.zeros((4000, 5000), np.uint8)).save(tmp_path / "large.png")
    with pytest.raises(BadImage, match=r"large\.png has 20,000,000 pixels.*cannot paint in tiles: --size makes"):
        stylize_image(tmp_path / "large.png", tmp_path / "no.png", color, CONFIG, identify(color, "m", ""))


def test_a_job_that_began_before_there_were_tiles_goes_on_without(tmp_path: Path) -> None:
    books = tmp_path / "_atelier"
    books.mkdir()
    old = asdict(WHOLE)
    del old["whole_pixels"], old["tile_px"]
    (books / "job.json").write_text(json.dumps({"plan": old}))
    (plan,) = JobFolder(open_destination(tmp_path)).plans()
    assert plan == WHOLE
    assert limits_for(CONFIG, plan).max_pixels == 2**24
