"""Files that only their owner reads."""

from pathlib import Path

from atelier.tasks.runtime.files import write_secret


def test_a_secret_is_its_owners_alone(tmp_path: Path) -> None:
    for words in ("words", "other words"):
        write_secret(tmp_path / "token", words)
    assert (tmp_path / "token").read_text() == "other words"
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
