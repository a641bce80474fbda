"""A model that enlarges: outputs of every kind are `scale` times as large, and limits are those of the outputs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import atelier
from atelier.models import artifact
from atelier.models.card import identify
from atelier.models.configs.restoration import RestoreConfig
from atelier.models.controls import Controls
from atelier.models.pixels import upscaled
from atelier.tasks.bulk.admission import image_memory
from atelier.tasks.bulk.ledger import Ledger
from atelier.tasks.images.provenance import read
from atelier.tasks.inference import backends
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.execution_plan import ExecutionConfig
from atelier.tasks.inference.input_limits import limits_for
from atelier.tasks.inference.single_image import stylize_image
from atelier.tasks.storage.open_destination import open_destination
from tests.tasks.inference.test_tiles import order, painted, photograph
from tests.tasks.restorers import save_restorer


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_restorer(tmp_path / "model", 2)


def enlarged(model: Path, pixels: np.ndarray) -> np.ndarray:
    """What the model makes of uint8 (H, W, 3)."""
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    return artifact.load(model).painter()(x)[0].permute(1, 2, 0).numpy().astype(int)


def test_outputs_of_every_kind_are_larger(tmp_path: Path, model: Path) -> None:
    pixels, alpha = photograph(41, 53), np.zeros((41, 53), np.uint8)
    alpha[:, 20:] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png", dpi=(300, 300))
    Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / "alpha.png")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.tif")
    frames = [Image.fromarray(np.roll(pixels, shift, 1)) for shift in (0, 9)]
    frames[0].save(tmp_path / "film.webp", save_all=True, append_images=frames[1:], duration=80, lossless=True)
    plan = backends.default_plan(artifact.load(model), Controls())
    assert (plan.scale, plan.whole_pixels) == (2, backends.WHOLE_PIXELS // 4)
    job = order(tmp_path / "out", model, plan)
    paths = [tmp_path / name for name in ("a.png", "alpha.png", "deep.tif", "film.webp")]
    plain, cut, deep, film = painted(job, paths)
    assert np.abs(plain - enlarged(model, pixels)).max() <= 1, "of a batch, one level apart"
    with Image.open(tmp_path / "out/a.png") as made:
        assert round(made.info["dpi"][0]) == 300
    assert np.array_equal(cut[..., :3], plain)
    assert cut.shape == (82, 106, 4)
    assert set(np.unique(cut[:, :38, 3])) == {0}
    assert set(np.unique(cut[:, 43:, 3])) == {200}
    assert deep.shape == (82, 106)
    assert (deep % 257).any(), "16 bits have their precision"
    with Image.open(tmp_path / "out/film.webp") as made:
        assert (made.n_frames, made.size) == (2, (106, 82))
    assert np.array_equal(film[..., :3], plain)
    found = read((tmp_path / "out/a.png").read_bytes())
    assert found
    assert found.parameters["plan"] == plan.record
    assert found.parameters["plan"]["scale"] == 2
    again = painted(order(tmp_path / "tiles", model, replace(plan, whole_pixels=500, tile_px=32)), paths)
    for one, other in zip(again, (plain, cut, deep, film), strict=True):
        assert np.abs(one - other).max() <= 3, "of 65535 or 255"


def test_strength_mixes_with_the_enlarged_picture_and_what_is_kept_is_enlarged(tmp_path: Path, model: Path) -> None:
    pixels, logo = photograph(20, 32), np.zeros((20, 32), np.uint8)
    logo[5:10, 5:25] = 255
    (tmp_path / "keep").mkdir()
    Image.fromarray(logo).save(tmp_path / "keep/a.png")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    larger = upscaled(x, 2)[0].permute(1, 2, 0).numpy().astype(int)
    for strength in (0.0, 0.5):
        paint = artifact.load(model).painter(Controls(strength))
        wanted = larger + strength * (enlarged(model, pixels) - larger)
        assert np.abs(paint(x)[0].permute(1, 2, 0).numpy() - wanted).max() <= 1
    config = StylizeConfig(keep_from=str(tmp_path / "keep"))
    stylize_image(tmp_path / "a.png", tmp_path / "out.png", model, config, identify(model, "m", ""))
    found = np.asarray(Image.open(tmp_path / "out.png")).astype(int)
    kept = np.asarray(Image.fromarray(pixels).resize((64, 40), Image.Resampling.BICUBIC))
    assert np.array_equal(found[10:20, 10:50], kept[10:20, 10:50])
    assert np.array_equal(found[30:], enlarged(model, pixels)[30:])


def test_limits_are_those_of_the_outputs(tmp_path: Path, model: Path) -> None:
    plan = backends.default_plan(artifact.load(model), Controls())
    config = StylizeConfig(max_pixels=40_000)
    assert limits_for(config, plan).max_pixels == 10_000
    assert limits_for(StylizeConfig(), replace(plan, tile_px=0)).max_pixels == backends.WHOLE_PIXELS // 4
    assert image_memory(10**6, order(tmp_path, model, plan)) == 600 * 10**6 + 4 * 20 * 10**6
    assert RestoreConfig(filters=64).channels == 16, "at half the size"
    assert RestoreConfig(filters=48, scale=2).channels == 48
    Image.fromarray(photograph(90, 120)).save(tmp_path / "large.png")
    with pytest.raises(AssertionError):
        painted(order(tmp_path / "out", model, plan, config), [tmp_path / "large.png"])
    (row,) = Ledger(open_destination(tmp_path / "out") / "_atelier" / "ledger").read().to_pylist()
    assert row["reason"] == (
        "the picture, 120 × 90, has 10,800 pixels, more than the limit of 10,000 where outputs are 2 × as high and as "
        "wide: --size makes it smaller"
    )
    with pytest.raises(ValueError, match="more than the limit of 10,000 where outputs are 2 × as high"):
        stylize_image(tmp_path / "large.png", tmp_path / "no.png", model, config, identify(model, "m", ""))
    (made,) = painted(order(tmp_path / "small", model, plan, replace(config, size=101)), [tmp_path / "large.png"])
    assert made.shape == (76, 100, 3), "the size is that of the outputs"
    expected = stylize_image(
        tmp_path / "large.png", tmp_path / "b.png", model, replace(config, size=100), identify(model, "m", "")
    )
    assert (expected.width, expected.height) == (100, 76)


def test_every_backend_and_the_library(tmp_path: Path, model: Path) -> None:
    config = ExecutionConfig(backend="openvino", precision="float32")
    found = backends.choose_execution(model, Controls(), config, gpu=False, measured=False)
    assert found.plan.scale == 2
    pixels = photograph(33, 50)
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    paint = backends.build_painter(artifact.load(model), Controls(), found.plan, found.network)
    assert np.abs(paint(batch)[0].permute(1, 2, 0).numpy() - enlarged(model, pixels)).max() <= 1
    image = Image.fromarray(np.dstack([pixels, np.full((33, 50), 77, np.uint8)]))
    made = atelier.load(model)(image)
    assert (made.size, made.mode) == ((100, 66), "RGBA")
    assert np.array_equal(np.asarray(made)[..., :3], enlarged(model, pixels))
    assert (np.asarray(made)[..., 3] == 77).all()
