"""Files written whole: the new content, or the old one, and nothing beside it."""

from pathlib import Path

import pytest

from atelier.models.files import replacing, temporary
from atelier.tasks.runtime.files import write, write_secret


def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "model.json"
    write(target, b"old")
    with pytest.raises(OSError, match="full"), replacing(target) as file:
        file.write_bytes(b"half")
        raise OSError("full")
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


def test_a_secret_is_its_owners_alone(tmp_path: Path) -> None:
    write_secret(tmp_path / "token", "words")
    write_secret(tmp_path / "token", "other words")
    assert (tmp_path / "token").read_text() == "other words"
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
