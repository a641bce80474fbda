import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from atelier.tasks.bulk.inputs import INPUT_SCHEMA, Selection, are_videos, list_inputs
from atelier.tasks.images.codec import encode
from atelier.tasks.images.formats import is_video
from atelier.tasks.storage.source_limits import SourceLimits

PNG = encode(np.full((4, 4, 3), 90, np.uint8), "png")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    for name in ("photos/2019/a.png", "photos/2019/b.jpg", "photos/2020/a.png", "photos/notes.txt", "photos/z.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(PNG)
    return tmp_path


def _inputs(table: pa.Table) -> list[str]:
    assert table.schema == INPUT_SCHEMA
    return list(table["input"].to_pylist())


def test_a_listing_has_every_file_and_how_to_reach_it(archive: Path) -> None:
    table = list_inputs(["photos"], archive)
    assert _inputs(table) == ["2019/a.png", "2019/b.jpg", "2020/a.png", "notes.txt", "z.png"]
    assert table["skipped"].to_pylist() == ["", "", "", "text or document", ""]
    assert table["path"].to_pylist()[0] == str(archive / "photos/2019/a.png")
    assert table["stamp"].to_pylist()[0].startswith(f"{len(PNG)}:mtime:")


def test_several_sources_cannot_meet(archive: Path) -> None:
    (archive / "other/Photos").mkdir(parents=True)
    (archive / "other/Photos/z.png").write_bytes(PNG)
    with zipfile.ZipFile(archive / "photos.zip", "w") as file:
        file.writestr("z.png", PNG)
    (archive / "some.txt").write_text("photos/z.png\n")
    found = list_inputs(["photos", "photos.zip", "other/Photos", "some.txt", "photos/z.png"], archive)
    assert [name for name in _inputs(found) if name.endswith("z.png")] == [
        "photos/z.png",
        "photos~2/z.png",
        "Photos~3/z.png",
        "some/photos/z.png",
        "z.png/z.png",
    ]


def test_a_name_that_an_archive_holds_twice_is_two_inputs(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.png", PNG)
        file.writestr("a.png#2", PNG)
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a.png", PNG)
    table = list_inputs(["a.zip"], tmp_path)
    assert _inputs(table) == ["a.png#3", "a.png#2", "a.png"]
    # the last is the picture, as it is when the archive is unpacked
    assert table["skipped"].to_pylist() == ["older member of the same name", "", ""]
    assert table["problem"].to_pylist() == ["", "", ""]


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (Selection(include=("2019/*",)), ["2019/a.png", "2019/b.jpg"]),
        (Selection(include=("*.png",)), ["2019/a.png", "2020/a.png", "z.png"]),
        (Selection(include=("*.png",), exclude=("20*/*", "?.jpg")), ["z.png"]),
        (Selection(exclude=("*.png",)), ["2019/b.jpg", "notes.txt"]),
        (Selection(limit=2), ["2019/a.png", "2019/b.jpg"]),
        (Selection(limit=4), ["2019/a.png", "2019/b.jpg", "2020/a.png", "notes.txt", "z.png"]),
        (Selection(limit=1, exclude=("2019/*",)), ["2020/a.png"]),
    ],
)
def test_globs_and_a_limit_choose_inputs(archive: Path, selection: Selection, wanted: list[str]) -> None:
    assert _inputs(list_inputs(["photos"], archive, selection)) == wanted


def test_a_limit_is_of_all_sources_together(archive: Path) -> None:
    found = _inputs(list_inputs(["photos/2019", "photos/2020"], archive, Selection(limit=3)))
    assert found == ["2019/a.png", "2019/b.jpg", "2020/a.png"]


def test_nothing_selected_is_an_error(archive: Path) -> None:
    with pytest.raises(ValueError, match="no pictures that match the globs"):
        list_inputs(["photos"], archive, Selection(include=("*.tif",)))
    (archive / "texts").mkdir()
    (archive / "texts/a.txt").write_text("x")
    with pytest.raises(ValueError, match="texts holds no pictures:"):
        list_inputs(["texts"], archive)


def test_bounds_hold_for_every_source(archive: Path) -> None:
    with zipfile.ZipFile(archive / "a.zip", "w") as file:
        for index in range(3):
            file.writestr(f"{index}.png", PNG)
    with pytest.raises(ValueError, match="more than 2 files"):
        list_inputs(["photos", "a.zip"], archive, Selection(bounds=SourceLimits(max_members=2)))


def test_videos_are_known_by_their_names_alike_one_by_one_and_together() -> None:
    names = ["a.mp4", "a/B.MOV", ".mp4", "a/.mkv", "a.mp4.png", "mp4", "a.lrv", "a\n.webm", "x.png", "a.mp4\n"]
    assert are_videos(pa.chunked_array([names])).to_pylist() == [is_video(name) for name in names]
