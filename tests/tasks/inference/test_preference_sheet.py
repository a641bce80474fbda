"""The sheet of blind pairs: what is shown is what was painted, and nothing tells by whom."""

import base64
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from atelier.models import artifact
from atelier.models.configs.style_statistics import CpganConfig
from atelier.models.methods.cpgan import Cpgan
from atelier.tasks.evaluation.preference import read_key
from atelier.tasks.images.codec import BadImage, Pixels, decode, encode, resize
from atelier.tasks.inference.preference_sheet import pictures_of, write_sheet

COUNT = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "secret-model"
    config = CpganConfig(filters=4, width=8, blocks=1)
    torch.manual_seed(0)
    artifact.save(folder, config, Cpgan.build_generator(config, None), {})
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for index in range(COUNT):
        coarse = generator.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        (folder / f"{index}.png").write_bytes(encode(np.kron(coarse, np.ones((16, 16, 1), np.uint8)), "png"))
    return folder


@pytest.fixture
def painted(photos: Path, tmp_path: Path) -> Path:
    """By another program: negatives, of another size and with another suffix."""
    folder = tmp_path / "secret-program"
    folder.mkdir()
    for file in photos.iterdir():
        pixels = resize(255 - decode(file.read_bytes()), 128, 96)
        (folder / f"{file.stem}.jpg").write_bytes(encode(pixels, "jpeg"))
    return folder


def shown(page: str) -> list[Pixels]:
    return [decode(base64.b64decode(data)) for data in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)]


def alike(one: Pixels, other: Pixels) -> bool:
    return bool(np.abs(one.astype(float) - other).mean() < 12)


def test_the_key_tells_what_the_page_shows_and_the_page_does_not(
    model: Path, photos: Path, painted: Path, tmp_path: Path
) -> None:
    made = write_sheet(tmp_path / "sheet", [str(model), str(painted)], pictures_of(str(photos), tmp_path), 30, seed=3)
    assert made.pairs == COUNT
    page, pairs = made.page.read_text(), read_key(made.key.read_bytes())
    assert "secret" not in page
    pictures = shown(page)
    assert len(pictures) == 3 * COUNT
    paint = artifact.load(model).painter()
    for index, pair in enumerate(pairs):
        before, left, right = pictures[3 * index : 3 * index + 3]
        photo = decode((photos / pair.picture).read_bytes())
        assert before.shape == left.shape == right.shape == photo.shape
        ours = paint(torch.from_numpy(photo.copy()).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
        by = {str(model): ours, str(painted): 255 - photo}
        assert alike(before, photo)
        assert alike(left, by[pair.left])
        assert alike(right, by[pair.right])
    assert {pair.left for pair in pairs} == {str(model), str(painted)}


def test_what_cannot_be_judged_is_refused(model: Path, photos: Path, painted: Path, tmp_path: Path) -> None:
    pictures = pictures_of(str(photos), tmp_path)
    with pytest.raises(ValueError, match="named twice"):
        write_sheet(tmp_path / "sheet", [str(model), str(model)], pictures, 3, 0)
    with pytest.raises(FileNotFoundError, match="no-such-model"):
        write_sheet(tmp_path / "sheet", [str(model), str(tmp_path / "no-such-model")], pictures, 3, 0)
    (painted / "4.jpg").write_bytes(b"no picture")
    with pytest.raises(BadImage, match=r"4\.png of .*secret-program cannot be read"):
        write_sheet(tmp_path / "sheet", [str(model), str(painted)], pictures, COUNT, 0)
    for file in painted.iterdir():
        file.rename(painted / f"other-{file.name}")
    with pytest.raises(FileNotFoundError, match=r"has no picture named as \d\.png"):
        write_sheet(tmp_path / "sheet", [str(model), str(painted)], pictures, 3, 0)
    assert not (tmp_path / "sheet").exists()
