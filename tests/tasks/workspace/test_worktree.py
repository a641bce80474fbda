"""The worktree of a retraining run: its first state, and how its commits are applied to the workspace."""

import os
import shutil
from pathlib import Path

import pytest

from atelier.tasks.bulk.subscriptions import set_current
from atelier.tasks.workspace import worktree
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.pipeline import commit
from atelier.tasks.workspace.repository import dvc, git


def state(workspace: Workspace) -> dict[str, bytes | str]:
    """The visible files of a workspace: those of git, and DVC's data."""
    names = [name for name in git(workspace.root, "ls-files", "-z").split("\0") if name]
    data = [path for path in (workspace.root / "data").rglob("*") if path.is_file()]
    files = {name: (workspace.root / name).read_bytes() for name in names}
    return files | {str(path): path.read_bytes() for path in data} | {"head": git(workspace.root, "rev-parse", "HEAD")}


def train(opened: Workspace) -> str:
    """Change the model as stages would, and return the commit."""
    (opened.model / "generator.safetensors").write_bytes(b"other weights")
    dvc(opened.root, "commit", "--force", "--quiet")
    return commit(opened, "a run")


def test_a_worktree_starts_from_the_present_files_of_the_workspace(own: Workspace) -> None:
    own.params.write_text(own.params.read_text() + "# mine\n")
    (own.root / ".dvc" / "config.local").write_text(
        "['remote \"vault\"']\n    url = ssh://host/vault\n    password = secret\n"
    )
    before = state(own)
    opened = worktree.open_worktree(own)
    assert (opened.root, opened.main, opened.name) == (own.root / ".atelier" / "night", own, own.name)
    assert opened.params.read_text().endswith("# mine\n")
    assert opened.dvc_lock.read_bytes() == own.dvc_lock.read_bytes()
    assert (opened.model / "generator.safetensors").read_bytes() == (own.model / "generator.safetensors").read_bytes()
    assert "secret" in (opened.root / ".dvc" / "config.local").read_text()
    assert (opened.locks, opened.models) == (own.locks, own.models)
    assert state(own) == before
    (opened.root / "left").write_text("of a failed run")
    assert worktree.open_worktree(own) == opened
    assert (opened.root / "left").exists(), "the next run continues there"
    worktree.remove_worktree(own)
    assert not opened.root.exists()
    assert git(own.root, "branch", "--list", "atelier/*") == ""
    assert state(own) == before


def test_an_incomplete_worktree_is_created_again(own: Workspace) -> None:
    opened = worktree.open_worktree(own)
    (opened.root / ".dvc/tmp/atelier-night").unlink()
    shutil.rmtree(opened.root / "artifacts")
    assert (worktree.open_worktree(own).model / "generator.safetensors").is_file()


def test_a_commit_is_applied_beside_the_changes_of_a_user(own: Workspace) -> None:
    opened = worktree.open_worktree(own)
    made = train(opened)
    (own.root / "notes.txt").write_text("mine")
    git(own.root, "add", "notes.txt")
    git(own.root, "commit", "--quiet", "--message", "mine")
    own.params.write_text(own.params.read_text() + "# not committed\n")
    worktree.apply_commit(own, made, "a run")
    assert (own.model / "generator.safetensors").read_bytes() == b"other weights"
    assert own.dvc_lock.read_bytes() == opened.dvc_lock.read_bytes()
    assert git(own.root, "log", "--format=%s", "-2").split("\n")[:2] == ["a run", "mine"]
    assert git(own.root, "status", "--porcelain") == " M params.yaml\n"
    head = git(own.root, "rev-parse", "HEAD")
    worktree.apply_commit(own, head.strip(), "again")
    assert git(own.root, "rev-parse", "HEAD") == head


def test_what_a_user_has_in_dvc_is_neither_run_nor_reverted(own: Workspace) -> None:
    notes, mark = own.root / "notes", own.root / "ran"
    notes.mkdir()
    (notes / "a.txt").write_text("first")
    dvc(own.root, "add", "--quiet", "notes")
    (own.root / "more").mkdir()
    (own.root / "more" / "dvc.yaml").write_text(f"stages:\n  x:\n    cmd: touch {mark}\n    outs: [y]\n")
    (own.root / "lost.dvc").write_text(f"outs:\n- md5: {'0' * 32}\n  path: lost\n  hash: md5\n")
    (own.root / "broken").mkdir()
    (own.root / "broken" / "dvc.yaml").write_text("stages: [\n")
    git(own.root, "add", "--all")
    git(own.root, "commit", "--quiet", "--message", "mine")
    (notes / "a.txt").write_text("edited, and nowhere else")
    ignore = own.root / ".gitignore"
    opened = worktree.open_worktree(own)
    assert not (opened.root / "notes").exists()
    (opened.model / "generator.safetensors").write_bytes(b"other weights")
    dvc(opened.root, "commit", "--force", "--quiet", "train")
    (opened.root / ".gitignore").write_text(ignore.read_text() + "/new-output\n")
    ignore.write_text(ignore.read_text() + "# edited during the night\n")
    worktree.apply_commit(own, commit(opened, "a run"), "a run")
    assert (own.model / "generator.safetensors").read_bytes() == b"other weights"
    assert (notes / "a.txt").read_text() == "edited, and nowhere else"
    assert ignore.read_text().endswith("# edited during the night\n")
    assert git(own.root, "status", "--porcelain") == " M .gitignore\n"
    assert not mark.exists()


def test_an_unchanged_workspace_takes_the_commit_itself(own: Workspace) -> None:
    made = train(worktree.open_worktree(own))
    worktree.apply_commit(own, made, "a run")
    assert git(own.root, "rev-parse", "HEAD").strip() == made
    assert git(own.root, "status", "--porcelain") == ""


def test_a_commit_that_cannot_be_applied_changes_nothing(own: Workspace) -> None:
    dvc(own.root, "commit", "--force", "--quiet")
    made = train(worktree.open_worktree(own))
    own.sources_lock.write_text("scanned by hand, not committed\n")
    before = state(own)
    cache = own.root / ".dvc" / "cache"
    (lost,) = [path for path in cache.rglob("*") if path.is_file() and path.read_bytes() == b"other weights"]
    lost.unlink()
    with pytest.raises(RuntimeError):
        worktree.apply_commit(own, made, "a run")
    assert state(own) == before
    assert (own.model / "generator.safetensors").read_bytes() != b"other weights"


def test_current_is_switched_in_one_step_and_replaces_no_other_file(tmp_path: Path) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        (tmp_path / version).mkdir()
        set_current(str(tmp_path), version)
        assert os.readlink(tmp_path / "current") == version  # noqa: PTH115
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "v1.0.0", "v1.1.0"]
    (tmp_path / "current").unlink()
    (tmp_path / "current").mkdir()
    with pytest.raises(FileExistsError, match="current"):
        set_current(str(tmp_path), "v1.0.0")
