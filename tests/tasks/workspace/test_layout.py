"""Workspaces: found from subfolders, created complete or not at all, locked against a second process."""

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from atelier.tasks.runtime.processes import git
from atelier.tasks.workspace.create import init
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock

PARAMS = "ingest: {seed: 0}\naugment: {seed: 0}\ntrain: {seed: 0}\nevaluate: {seed: 0}\n"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made, fresh = init(tmp_path_factory.mktemp("made") / "studio", PARAMS)
    assert fresh
    return made


def test_init_makes_a_clean_commit_of_everything(workspace: Workspace) -> None:
    assert git(workspace.root, "status", "--porcelain") == ""
    tracked = git(workspace.root, "ls-files").split()
    assert {"params.yaml", "dvc.yaml", "formats.yaml", ".gitignore", ".dvc/config"} <= set(tracked)
    assert workspace.params.read_text() == PARAMS
    assert [p.name for p in workspace.root.parent.iterdir()] == ["studio"], "no draft is left beside it"


def test_init_changes_no_existing_workspace(workspace: Workspace) -> None:
    again, fresh = init(workspace.root, "other: {}\n")
    assert (again, fresh) == (workspace, False)
    assert workspace.params.read_text() == PARAMS


def test_init_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(FileExistsError, match="is not empty and is no workspace"):
        init(tmp_path, PARAMS)
    assert [p.name for p in tmp_path.iterdir()] == ["holiday.jpg"]
    with pytest.raises(NotADirectoryError, match="is a file"):
        init(tmp_path / "holiday.jpg", PARAMS)


def test_init_inside_another_repository_has_its_own(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    inner, _ = init(tmp_path / "demo", PARAMS)
    assert Path(git(inner.root, "rev-parse", "--show-toplevel").strip()) == inner.root
    assert git(tmp_path, "diff", "--cached", "--name-only") == ""


def test_init_works_without_any_git_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    workspace, _ = init(tmp_path / "studio", PARAMS)
    assert git(workspace.root, "log", "--format=%an").strip() == "Atelier"


def test_find_walks_upwards(workspace: Workspace, tmp_path: Path) -> None:
    below = workspace.root / "stylized" / "deep"
    below.mkdir(parents=True)
    assert Workspace.find(below) == workspace
    with pytest.raises(FileNotFoundError, match="atelier init"):
        Workspace.find(tmp_path)


LINKS = (
    *(".atelier", "reports", "stylized", "data", "artifacts", ".dvc/tmp", ".dvc/cache", "dvc.lock", "sources.lock"),
    *(".atelier/locks", ".atelier/locks/train.lock", ".atelier/models/style-model", ".atelier/last-night/night.json"),
    *("reports/index.html", "reports/training/plots", "data/dataset", "artifacts/style-model/deep/er", ".git/config"),
    *(".atelier/night", ".atelier/night/reports", ".atelier/night/params.yaml", "stylized/photos", ".dvc/config.local"),
)


TARGETS = ("folder", "gone", "file", "relative", "gone")


@pytest.mark.parametrize(("link", "target"), list(zip(LINKS, itertools.cycle(TARGETS), strict=False)))
def test_a_link_out_of_it_is_refused(workspace: Workspace, tmp_path: Path, link: str, target: str) -> None:
    root, outside = tmp_path / "studio", tmp_path / "outside"
    shutil.copytree(workspace.root, root, symlinks=True)
    (outside / "folder").mkdir(parents=True)
    (outside / "file").touch()
    path = root / link
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    up = "../" * (len(path.relative_to(root).parts))
    path.symlink_to(f"{up}outside/folder" if target == "relative" else outside / target)
    for open_it in (lambda: Workspace.find(root), lambda: init(root, PARAMS)):
        with pytest.raises(ValueError, match=rf"{re.escape(str(path))} is a link to .*, outside of the workspace"):
            open_it()


def test_links_that_stay_and_those_of_dvc_are_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    root, cache = tmp_path / "studio", tmp_path / "cache" / "files" / "md5" / "ab" / ("c" * 30)
    shutil.copytree(workspace.root, root, symlinks=True)
    cache.parent.mkdir(parents=True)
    cache.touch()
    (root / "data" / "dataset").mkdir(parents=True)
    (root / "data" / "dataset" / "a.parquet").symlink_to(cache)  # as `cache.type symlink` makes it
    (root / "reports").mkdir()
    (root / "reports" / "latest").symlink_to("../data")
    (root / "photos").symlink_to(tmp_path)  # the user's own
    (root / ".atelier" / "night").mkdir(parents=True)
    (root / ".atelier" / "night" / "photos").symlink_to(tmp_path)
    (tmp_path / "linked").symlink_to(root)
    for place in (root, tmp_path / "linked", tmp_path / "linked" / "data"):
        assert Workspace.find(place).params.read_text() == PARAMS
    assert Workspace.open(root / ".atelier" / "night").main.root == root


def test_lock_names_its_holder_and_ends_with_it(workspace: Workspace) -> None:
    holding = (
        "import sys, time; from pathlib import Path\n"
        "from atelier.tasks.workspace.layout import Workspace\n"
        "from atelier.tasks.workspace.locks import lock\n"
        "with lock(Workspace(Path(sys.argv[1])), 'train'):\n    print('held', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", holding, str(workspace.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RuntimeError, match=rf"process {holder.pid}\)"), lock(workspace, "train"):
            pass
        with lock(workspace, "evaluate"):
            pass
        holder.kill()
        holder.wait()
        with lock(workspace, "train"):
            pass
