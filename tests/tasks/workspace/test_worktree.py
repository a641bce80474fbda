"""Where a night works: what it begins with, and how the workspace takes what it made, or does not."""

import os
import shutil
from pathlib import Path

import pytest

from atelier.tasks.bulk.subscriptions import set_current
from atelier.tasks.runtime.processes import dvc, git
from atelier.tasks.workspace import worktree
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.pipeline import commit


def state(workspace: Workspace) -> dict[str, bytes | str]:
    """All that a person may see of a workspace: git's files and DVC's data."""
    names = [name for name in git(workspace.root, "ls-files", "-z").split("\0") if name]
    data = [path for path in (workspace.root / "data").rglob("*") if path.is_file()]
    files = {name: (workspace.root / name).read_bytes() for name in names}
    return files | {str(path): path.read_bytes() for path in data} | {"head": git(workspace.root, "rev-parse", "HEAD")}


def learn(night: Workspace) -> str:
    """What stages would leave of a night; the commit that holds it."""
    (night.model / "generator.safetensors").write_bytes(b"other weights")
    dvc(night.root, "commit", "--force", "--quiet")
    return commit(night, "a night")


def test_a_night_begins_with_the_workspace_as_it_stands(own: Workspace) -> None:
    own.params.write_text(own.params.read_text() + "# mine\n")
    (own.root / ".dvc" / "config.local").write_text(
        "['remote \"vault\"']\n    url = ssh://host/vault\n    password = secret\n"
    )
    before = state(own)
    night = worktree.open_worktree(own)
    assert (night.root, night.main, night.name) == (own.root / ".atelier" / "night", own, own.name)
    assert night.params.read_text().endswith("# mine\n")
    assert night.dvc_lock.read_bytes() == own.dvc_lock.read_bytes()
    assert (night.model / "generator.safetensors").read_bytes() == (own.model / "generator.safetensors").read_bytes()
    assert "secret" in (night.root / ".dvc" / "config.local").read_text()
    assert (night.locks, night.models) == (own.locks, own.models)
    assert state(own) == before
    (night.root / "left").write_text("of a night that failed")
    assert worktree.open_worktree(own) == night
    assert (night.root / "left").exists(), "the next night continues there"
    worktree.remove_worktree(own)
    assert not night.root.exists()
    assert git(own.root, "branch", "--list", "atelier/*") == ""
    assert state(own) == before


def test_half_a_worktree_is_made_anew(own: Workspace) -> None:
    night = worktree.open_worktree(own)
    (night.root / ".dvc/tmp/atelier-night").unlink()
    shutil.rmtree(night.root / "artifacts")
    assert (worktree.open_worktree(own).model / "generator.safetensors").is_file()


def test_what_passed_is_adopted_beside_what_a_person_did_meanwhile(own: Workspace) -> None:
    night = worktree.open_worktree(own)
    made = learn(night)
    (own.root / "notes.txt").write_text("mine")
    git(own.root, "add", "notes.txt")
    git(own.root, "commit", "--quiet", "--message", "mine")
    own.params.write_text(own.params.read_text() + "# not committed\n")
    worktree.apply_commit(own, made, "a night")
    assert (own.model / "generator.safetensors").read_bytes() == b"other weights"
    assert own.dvc_lock.read_bytes() == night.dvc_lock.read_bytes()
    assert git(own.root, "log", "--format=%s", "-2").split("\n")[:2] == ["a night", "mine"]
    assert git(own.root, "status", "--porcelain") == " M params.yaml\n"
    head = git(own.root, "rev-parse", "HEAD")
    worktree.apply_commit(own, head.strip(), "again")
    assert git(own.root, "rev-parse", "HEAD") == head


def test_without_a_change_of_the_workspace_it_takes_the_nights_commit_itself(own: Workspace) -> None:
    made = learn(worktree.open_worktree(own))
    worktree.apply_commit(own, made, "a night")
    assert git(own.root, "rev-parse", "HEAD").strip() == made
    assert git(own.root, "status", "--porcelain") == ""


def test_an_adoption_that_fails_changes_nothing(own: Workspace) -> None:
    dvc(own.root, "commit", "--force", "--quiet")
    made = learn(worktree.open_worktree(own))
    own.sources_lock.write_text("scanned by hand, not committed\n")
    before = state(own)
    cache = own.root / ".dvc" / "cache"
    (lost,) = [path for path in cache.rglob("*") if path.is_file() and path.read_bytes() == b"other weights"]
    lost.unlink()
    with pytest.raises(RuntimeError):
        worktree.apply_commit(own, made, "a night")
    assert state(own) == before
    assert (own.model / "generator.safetensors").read_bytes() != b"other weights"


def test_current_is_switched_in_one_step_and_takes_nobody_elses_place(tmp_path: Path) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        (tmp_path / version).mkdir()
        set_current(str(tmp_path), version)
        assert os.readlink(tmp_path / "current") == version  # noqa: PTH115
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "v1.0.0", "v1.1.0"]
    (tmp_path / "current").unlink()
    (tmp_path / "current").mkdir()
    with pytest.raises(FileExistsError, match="current"):
        set_current(str(tmp_path), "v1.0.0")
