"""The Python interface paints what the command paints, and gives back what it was given."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import atelier
from atelier import ImagePainter, Style, load

pytestmark = pytest.mark.long

PIXELS = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
TENSOR = torch.from_numpy(PIXELS).permute(2, 0, 1)


@pytest.fixture(scope="module")
def painter() -> ImagePainter:
    return load("starter/paintings")


def test_importing_the_package_is_light() -> None:
    script = "import atelier, sys; assert not {'torch', 'ray', 'numpy'} & set(sys.modules); atelier.load"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="has no attribute 'paint'"):
        atelier.paint  # noqa: B018


def test_the_pixels_are_those_of_the_command(painter: ImagePainter, tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "in.png")
    arguments = ["stylize", tmp_path / "in.png", tmp_path / "out.png", "--model", "starter/paintings"]
    command = [sys.executable, "-c", "from atelier.flows.cli.app import main; main()", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wanted = np.array(Image.open(tmp_path / "out.png"))
    assert np.array_equal(np.asarray(painter(Image.open(tmp_path / "in.png"))), wanted)
    assert np.array_equal(painter(PIXELS), wanted)
    assert torch.equal(painter(TENSOR), torch.from_numpy(wanted).permute(2, 0, 1))


def test_every_type_comes_back_as_it_was(painter: ImagePainter) -> None:
    wanted = painter(PIXELS)
    assert wanted.dtype == np.uint8
    assert not np.array_equal(wanted, PIXELS)
    for dtype in (np.float32, np.float64):
        found = painter((PIXELS / 255).astype(dtype))
        assert (found.dtype, found.shape) == (dtype, PIXELS.shape)
        assert np.abs(found * 255 - wanted).max() <= 0.51, "a float image has the precision of the network"
    batch = torch.stack([TENSOR, TENSOR.flip(2)])
    assert painter(batch).shape == batch.shape
    together, alone = painter(batch)[0].int(), painter(TENSOR).int()
    assert (together - alone).abs().max() <= 1  # convolutions add in another order in a batch
    half = painter((TENSOR / 255).to(torch.float16))
    assert (half.dtype, half.shape) == (torch.float16, TENSOR.shape)
    assert 0 <= half.min() <= half.max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_modes_of_pil_images(painter: ImagePainter, mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    if "A" in mode:
        image.putalpha(Image.fromarray(PIXELS[:, :, 0]))
    found = painter(image)
    assert (found.mode, found.size) == (image.mode, image.size)
    assert found.tobytes() != image.tobytes()
    if "A" in mode:
        assert np.array_equal(np.asarray(found.getchannel("A")), PIXELS[:, :, 0])


def test_options() -> None:
    assert np.array_equal(load("starter/paintings", strength=0.0)(PIXELS), PIXELS)
    style = Image.fromarray(np.full((64, 64, 3), (200, 30, 30), np.uint8))
    plain, styled = load("starter/any-style"), load("starter/any-style", styles=[style])
    assert not np.array_equal(plain(PIXELS), styled(PIXELS))
    as_array, as_tensor = np.asarray(style), torch.from_numpy(np.array(style)).permute(2, 0, 1) / 255
    for same in (as_array, as_tensor, Style("red", pixels=as_array)):
        assert np.array_equal(load("starter/any-style", styles=[same])(PIXELS), styled(PIXELS))
    kept = load("starter/any-style", styles=[style, "trained"], preserve_color=True)(PIXELS)
    assert not np.array_equal(kept, styled(PIXELS))


def test_a_style_file_and_a_folder(tmp_path: Path) -> None:
    style = np.full((64, 64, 3), (200, 30, 30), np.uint8)
    Image.fromarray(style).save(tmp_path / "style.png")
    folder = Path(atelier.__file__).parent / "starters" / "any-style"
    found = load(folder, styles=[tmp_path / "style.png"])(PIXELS)
    assert np.array_equal(found, load(str(folder), styles=[style])(PIXELS))


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((4, 4), np.uint8), ValueError, r"shape \(4, 4\): expected \(H, W, 3\)"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, r"expected \(H, W, 3\)"),
        (np.zeros((4, 4, 3), np.int32), ValueError, "type int32: expected uint8"),
        (np.full((8, 8, 3), 255.0), ValueError, r"are in \[0, 1\], and this one has 255"),
        (np.full((8, 8, 3), np.nan), ValueError, r"are in \[0, 1\]"),
        (torch.zeros(8, 8, 3), ValueError, r"expected \(B, 3, H, W\)"),
        (torch.zeros(3, 0, 3), ValueError, r"expected \(B, 3, H, W\)"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), ValueError, "type torch.int64: expected uint8"),
        (Image.new("CMYK", (8, 8)), ValueError, "mode CMYK: use image.convert"),
        ("photo.png", TypeError, "a str is no image"),
    ],
)
def test_what_is_no_image_is_refused(painter: ImagePainter, image: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        painter(image)


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        ("starter/nothing", {}, ValueError, "there is no model 'starter/nothing'"),
        ("nowhere", {}, FileNotFoundError, "no folder"),
        ("style-model@prod", {"workspace": Path("/")}, FileNotFoundError, "is in none"),
        ("starter/paintings", {"strength": 2.0}, ValueError, "strength must be between 0 and 1"),
        ("starter/paintings", {"to": ["Smiling"]}, ValueError, "has no control 'to'"),
        ("starter/any-style", {"styles": ["missing.png"]}, FileNotFoundError, "does not exist"),
        ("starter/any-style", {"styles": [np.zeros((4, 4))]}, ValueError, r"expected \(H, W, 3\)"),
        ("starter/any-style", {"styles": [torch.zeros(4, 4)]}, ValueError, "a style image has shape"),
        *([] if torch.cuda.is_available() else [("starter/paintings", {"device": "cuda"}, ValueError, "finds no GPU")]),
    ],
)
def test_what_cannot_be_loaded(model: str, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load(model, **options)


def test_an_object_is_added(tmp_path: Path) -> None:
    thing = np.zeros((12, 12, 4), np.uint8)
    thing[2:10, 2:10] = 255
    Image.fromarray(thing).save(tmp_path / "thing.png")
    where = {"object": str(tmp_path / "thing.png"), "at": "-10,50%"}
    changed = (load("starter/inpaint", insert=where)(PIXELS) != PIXELS).any(2)
    assert changed[16:21, 37:43].all()
    changed[13:24, 35:45] = False
    assert not changed.any()
    both = load("starter/inpaint", insert=where, remove=["0,0,5,5"])(PIXELS)
    assert (both != PIXELS).any(2)[:5, :5].mean() > 0.9
