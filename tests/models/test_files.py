"""Files written whole: the new content, or the old one, and nothing beside it."""

from pathlib import Path

import pytest

from atelier.models.files import replacing, temporary


def write_half(target: Path) -> None:
    with replacing(target) as file:
        file.write_bytes(b"half")
        raise OSError("full")


def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "model.json"
    target.write_bytes(b"old")
    with pytest.raises(OSError, match="full"):
        write_half(target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
    with replacing(target) as file:
        file.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_two_writers_of_one_file_never_share_a_temporary_one(tmp_path: Path) -> None:
    with temporary(tmp_path / "a") as one, temporary(tmp_path / "a") as other:
        assert one != other
        assert one.parent == other.parent == tmp_path
