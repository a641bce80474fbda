"""Versions of the dataset: their list, their names and their differences."""

import shutil
from pathlib import Path

import pytest

from atelier.tasks.images.codec import decode
from atelier.tasks.registry.dataset_diff import DatasetDiff, diff_datasets
from atelier.tasks.registry.dataset_versions import find_dataset, list_datasets
from atelier.tasks.registry.dvc_objects import open_objects
from atelier.tasks.runtime.processes import git
from atelier.tasks.workspace.layout import Workspace
from tests.tasks.published import lay, noise


def compared(workspace: Workspace, before: str, after: str, sheet: Path | None = None) -> DatasetDiff:
    with open_objects(workspace) as kept:
        old, new = (find_dataset(workspace, kept, name) for name in (before, after))
        return diff_datasets(workspace, kept, old, new, sheet)


def test_every_version_and_who_was_trained_on_it(published: Workspace) -> None:
    with open_objects(published) as kept:
        now, second, first = list_datasets(published, kept)
    assert [one.now for one in (now, second, first)] == [True, False, False]
    assert first.models == ("style-model@v1.0.0", "style-model@v1.1.0")
    assert (second.models, now.models) == (("style-model@v1.2.0",), ())
    assert first.rows == {"paintings": {"train": 4, "holdout": 4}, "photos": {"train": 12, "holdout": 4}}
    assert now.rows["photos"] == {"train": 12, "holdout": 8}
    assert first.bytes > 24 * 32 * 32
    assert {one.problem for one in (now, second, first)} == {""}


def test_names_of_datasets(published: Workspace) -> None:
    with open_objects(published) as kept:
        now, second, first = list_datasets(published, kept)
        for name, one in (
            ("now", now), ("prod", first), ("v1.0.0", first), ("style-model@v1.2.0", second), (second.id[:6], second)
        ):  # fmt: skip
            assert find_dataset(published, kept, name) == one
        with pytest.raises(ValueError, match=f"'ffffffff' is no dataset: there are {now.id[:12]}"):
            find_dataset(published, kept, "ffffffff")
        with pytest.raises(ValueError, match=r"no version 'v9\.0\.0'"):
            find_dataset(published, kept, "v9.0.0")


def test_pictures_that_were_added_and_removed(published: Workspace, tmp_path: Path) -> None:
    found = compared(published, "v1.0.0", "v1.2.0", tmp_path / "a.png")
    assert (found.added, found.removed) == ({"paintings": 0, "photos": 4}, {"paintings": 0, "photos": 4})
    assert found.same == {"paintings": 8, "photos": 12}, "a picture that is in another shard is the same"
    assert [(name, one.before, one.after) for name, one in found.parameters.items()] == [("min_px", None, 16)]
    sheet = decode((tmp_path / "a.png").read_bytes())
    assert sheet.shape[0] > 2 * 96
    assert "photos          4 added       4 removed      12 the same" in found.summary
    assert git(published.root, "status", "--porcelain") == "", "nothing was checked out"

    back = compared(published, "now", "v1.2.0")
    assert (back.added["photos"], back.removed["photos"], back.sheet) == (0, 4, "")
    same = compared(published, "v1.0.0", "prod", tmp_path / "none.png")
    assert (same.sheet, same.parameters) == ("", {})
    assert not (tmp_path / "none.png").exists()


def test_only_so_many_pictures_are_shown(own: Workspace, tmp_path: Path) -> None:
    lay(own.dataset, {"photos": [noise(n) for n in range(300, 340)], "paintings": [noise(500)]})
    found = compared(own, "prod", "now", tmp_path / "a.png")
    assert (found.added["photos"], found.removed["photos"]) == (40, 16)
    shown = decode((tmp_path / "a.png").read_bytes())
    assert shown.shape[0] == 4 + 100 * (1 + 1 + 2 + 2), "a row each of paintings, two each of photos"


def test_missing_bytes_are_reported(own: Workspace) -> None:
    shutil.rmtree(own.root / ".dvc" / "cache")
    with open_objects(own) as kept:
        now, *gone = list_datasets(own, kept)
    assert (now.now, now.problem) == (True, "")
    assert all("is not in DVC's cache, and there is no remote" in one.problem for one in gone)
    with pytest.raises(RuntimeError, match="no remote"):
        compared(own, "prod", "now")


def test_before_there_is_any(own: Workspace) -> None:
    shutil.rmtree(own.dataset)
    with open_objects(own) as kept:
        assert [one.now for one in list_datasets(own, kept)] == [False, False]
        with pytest.raises(FileNotFoundError, match="atelier ingest"):
            find_dataset(own, kept, "now")
