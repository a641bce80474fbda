"""Windows of a few pictures: every scale, one picture left out, nothing lost."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from atelier.flows.config.defaults import brand_notes, brand_params
from atelier.flows.config.params import Params
from atelier.tasks.dataset.layouts import SourceConfig, list_source
from atelier.tasks.dataset.shards import split_of
from atelier.tasks.images.codec import decode, encode
from atelier.tasks.runtime.encoder_weights import is_ready
from atelier.tasks.storage.open_source import read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows, columns = np.indices((120, 200), np.uint8)
    for number in range(3):
        picture = np.stack([rows, columns, np.full_like(rows, number)], axis=2)
        (tmp_path / f"{number}.png").write_bytes(encode(picture, "png"))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_windows_of_every_scale_cover_the_pictures(folder: Path) -> None:
    listing = list_source(SourceConfig(f"windows://{folder}"), Path("/"))
    assert sum(listing.skipped.values()) == 1
    windows = {entry.name: decode(read(entry)) for entry in listing.entries if entry.name.startswith("1.png")}
    assert Counter(window.shape[0] for window in windows.values()) == {120: 3, 60: 9, 30: 25}
    assert all(window.shape[0] == window.shape[1] for window in windows.values())
    for part in (1, 2, 4):
        corners = [w for name, w in windows.items() if f"/{part}-" in name]
        assert min(int(w[0, 0, 0]) + int(w[0, 0, 1]) for w in corners) == 0
        assert max(tuple(w[-1, -1, :2].tolist()) for w in corners) == (119, 199)


def test_one_picture_is_left_out_as_a_whole(folder: Path) -> None:
    listing = list_source(SourceConfig(f"windows://{folder}"), Path("/"))
    splits: dict[str, set[str]] = {}
    for entry in listing.entries:
        splits.setdefault(split_of(entry.group, 0.001), set()).add(entry.name.partition("/")[0])
    assert {split: len(pictures) for split, pictures in splits.items()} == {"train": 2, "holdout": 1}
    assert not splits["train"] & splits["holdout"]
    assert split_of("poster:1.png", 0.999) == "holdout", "other groups are divided by their hash"


def test_a_brand_is_a_folder_of_several_pictures(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(brand_params(str(folder), ("sample://photos",), Path("/")))
    params = Params(path).check()
    assert params.train.style == "brand"
    assert params.ingest.domains["brand"] == (f"windows://{folder}",)
    assert params.train.start_from == "starter/any-style"
    ready, notes = is_ready("vgg16"), brand_notes(str(folder), Path("/"))
    assert params.train.encoder == ("vgg16" if ready else "auto")
    assert ["`atelier encoders pull vgg16`" in note for note in notes] == ([] if ready else [True])
    some = next(folder.glob("*.png")).read_bytes()
    for number in range(9):
        (folder / f"more {number}.png").write_bytes(some)
    *_, note = brand_notes(str(folder), Path("/"))
    assert "has 12 pictures. --brand is made for 3 to 10" in note
    for picture in list(folder.glob("*.png"))[1:]:
        picture.unlink()
    with pytest.raises(ValueError, match="has 1 pictures: three to ten are needed"):
        brand_params(str(folder), ("sample://photos",), Path("/"))
    with pytest.raises(ValueError, match="is no folder"):
        brand_params(str(path), ("sample://photos",), Path("/"))
