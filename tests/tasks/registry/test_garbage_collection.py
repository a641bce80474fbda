"""Garbage collection keeps what kept versions, branches, worktrees and failed nights need."""

import multiprocessing
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from atelier.tasks.registry.dvc_objects import open_objects
from atelier.tasks.registry.garbage_collection import collect_garbage
from atelier.tasks.registry.model_details import list_all_versions
from atelier.tasks.registry.promotion import promote, rollback
from atelier.tasks.registry.resolve import resolve
from atelier.tasks.registry.tags import list_versions
from atelier.tasks.registry.verify import verify_versions
from atelier.tasks.workspace.create import init
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock
from atelier.tasks.workspace.repository import dvc, git
from tests.tasks.published import PARAMS, age, forget, lay, noise, publish
from tests.tasks.registry.counted_collection import PRELOADED, collect_counted


def whole(workspace: Workspace) -> dict[str, bool]:
    with open_objects(workspace) as kept:
        found = verify_versions(workspace, kept, list_versions(workspace))
    return {one.version.removeprefix("style-model@"): one.whole for one in found}


def cached(workspace: Workspace) -> dict[str, int]:
    files = (workspace.root / ".dvc" / "cache").rglob("*")
    return {str(path): path.stat().st_size for path in files if path.is_file()}


def newer(workspace: Workspace) -> None:
    """Two more versions, so that v1.0.0 is neither prod nor new; the workspace is as the last one left it."""
    card = lay(workspace.dataset, {"photos": [noise(n) for n in range(8, 24)], "paintings": [noise(100)]})
    for seed in (4, 5):
        publish(workspace, card, seed, kid=0.5 - seed / 100)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, published: Workspace) -> Workspace:
    root = tmp_path_factory.mktemp("grown") / "studio"
    workspace = Workspace(Path(shutil.copytree(published.root, root, symlinks=True)))
    newer(workspace)
    return workspace


@pytest.fixture
def own(grown: Workspace, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(grown.root, tmp_path / "studio", symlinks=True)))


def test_a_dry_run_names_what_is_then_removed(own: Workspace) -> None:
    forget(own)
    for version in ("v1.0.0", "v1.1.0", "v1.4.0"):
        resolve(own, f"style-model@{version}")
    (own.models / "style-model" / ".v1.3.0-4194305").mkdir()  # of a process that was killed: there are no such numbers
    before = cached(own)
    told = collect_garbage(own, keep=2, dry_run=True)
    assert cached(own) == before
    # v1.3.0 and v1.4.0 are the newest and the last that were promoted
    assert told.kept == ("style-model@v1.4.0", "style-model@v1.3.0")
    assert told.dropped == ("style-model@v1.2.0", "style-model@v1.1.0", "style-model@v1.0.0")
    assert told.folders == tuple(f"style-model/{name}" for name in ("v1.0.0", "v1.1.0", ".v1.3.0-4194305"))
    assert "would remove" in told.summary
    assert "nowhere: there is no remote" in told.summary
    done = collect_garbage(own, keep=2)
    assert (done.objects, done.bytes, done.runs) == (told.objects, told.bytes, told.runs)
    after = cached(own)
    assert set(after) < set(before)
    assert len(before) - len(after) == done.objects + done.runs
    assert sorted(path.name for path in (own.models / "style-model").iterdir()) == ["v1.4.0"]
    assert whole(own) == {"v1.4.0": True, "v1.3.0": True, "v1.2.0": False, "v1.1.0": False, "v1.0.0": False}
    with open_objects(own) as kept:
        assert [one.here for one in list_all_versions(own, kept)] == [True, True, False, False, False]
    assert dvc(own.root, "status").strip() == "Data and pipelines are up to date."
    nothing = collect_garbage(own, keep=2)
    assert (nothing.objects, nothing.runs, nothing.bytes, nothing.dropped) == (0, 0, 0, ())
    with pytest.raises(RuntimeError, match=r"the bytes of style-model@v1\.1\.0"):
        rollback(own, "too late", to="v1.1.0")


def test_what_was_prod_lately_stays(own: Workspace) -> None:
    forget(own)
    promote(own, "v1.0.0", reason="for a day")
    promote(own, "v1.4.0", reason="and back")
    found = collect_garbage(own, keep=2)
    assert found.kept == ("style-model@v1.4.0", "style-model@v1.3.0", "style-model@v1.0.0")
    assert whole(own) == {"v1.4.0": True, "v1.3.0": True, "v1.2.0": False, "v1.1.0": False, "v1.0.0": True}
    assert rollback(own, "again", to="v1.0.0") == "v1.0.0"
    with pytest.raises(ValueError, match="--keep is 0"):
        collect_garbage(own, keep=0)


def test_what_branches_tags_and_worktrees_name_stays(own: Workspace) -> None:
    forget(own)
    git(own.root, "tag", "paper", "style-model@v1.0.0")
    git(own.root, "branch", "try", "style-model@v1.1.0")
    night = Workspace(own.private / "night")
    git(own.root, "worktree", "add", "--quiet", "--detach", str(night.root))
    (night.root / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {own.root / '.dvc' / 'cache'}\n")
    lay(night.dataset, {"photos": [noise(n) for n in range(900, 904)], "paintings": [noise(100)]})
    dvc(night.root, "commit", "--force", "--quiet", "ingest")  # and nothing of it is committed to git
    found = collect_garbage(own, keep=1)
    assert found.kept == ("style-model@v1.4.0",)
    assert "style-model@v1.0.0" not in found.dropped
    assert whole(own) == {"v1.4.0": True, "v1.3.0": False, "v1.2.0": False, "v1.1.0": True, "v1.0.0": True}
    uncommitted = re.findall(r"\w+\.dir", git(night.root, "diff", "--unified=0", "dvc.lock"))
    with open_objects(own) as kept:
        assert kept.is_cached(uncommitted[-1]), "what a worktree holds and has not committed"
    with lock(night, "pipeline"), pytest.raises(RuntimeError, match="pipeline is already running"):
        collect_garbage(own, keep=1)


def test_what_a_night_that_failed_has_made_stays(own: Workspace) -> None:
    """The training is done and not registered: it is in DVC's run cache, and the next night continues with it."""
    forget(own)
    time.sleep(1.1)  # versions are registered to the second
    (own.model / "model.json").write_text("{}")
    own.evaluation.write_text("{}")
    dvc(own.root, "commit", "--force", "--quiet")
    git(own.root, "checkout", "--quiet", "dvc.lock", "reports/evaluation.json")
    dvc(own.root, "checkout", "--quiet", "--force")
    before = cached(own)
    assert collect_garbage(own, keep=5).objects == 0
    assert cached(own) == before
    forget(own)
    found = collect_garbage(own, keep=5)
    assert found.objects > 0
    assert set(whole(own).values()) == {True}


def test_checkpoints_that_a_version_has_overtaken_go(own: Workspace) -> None:
    old, new = (own.checkpoints / f"train-{letter * 16}" for letter in "ab")
    style = own.style_runs / "inks" / "checkpoints" / "train-c"
    for run in (old, new, style):
        run.mkdir(parents=True)
        (run / "checkpoint.safetensors").write_bytes(b"x" * 1000)
    age(old, style)
    found = collect_garbage(own)
    assert found.checkpoints == ("checkpoints/train-aaaaaaaaaaaaaaaa",), "the style has no version yet"
    assert found.bytes >= 1000
    assert [path.name for path in own.checkpoints.iterdir()] == [new.name]
    assert style.is_dir()


def collect_until(workspace: Workspace, last: int) -> int:
    """Collect in a process that is killed at this call, counted from 0, by which it removes or moves anything.

    A server without threads forks it: a fork of this process, which has some, could wait for a lock for ever.

    Returns the number of such calls, where it ends before that.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=collect_counted, args=(workspace, last, theirs))
    process.start()
    theirs.close()
    with ours:
        try:
            return int(ours.recv())
        except EOFError:
            return last
        finally:
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL)


@pytest.mark.parametrize("kills", [8, pytest.param(10**6, marks=pytest.mark.slow)])
def test_a_collection_that_is_killed_is_completed_by_the_next_one(own: Workspace, tmp_path: Path, kills: int) -> None:
    """Killed all over its work, or at each call: nothing is lost, and the next one ends as one without a kill."""
    forget(own)
    for version in ("v1.0.0", "v1.1.0", "v1.4.0"):
        resolve(own, f"style-model@{version}")
    finished = own.checkpoints / "train-a"
    finished.mkdir(parents=True)
    for name in "xyz":
        (finished / name).write_bytes(b"x")
    age(finished)

    def state(workspace: Workspace) -> tuple[object, ...]:
        places = (workspace.root / ".dvc" / "cache", workspace.models, workspace.checkpoints)
        left = [path.relative_to(workspace.root) for place in places for path in place.rglob("*") if path.is_file()]
        folders = [path.name for place in places[1:] for path in place.rglob("*/")]
        return sorted(left), sorted(folders), git(workspace.root, "status", "--porcelain")

    def copy(name: str) -> Workspace:
        return Workspace(Path(shutil.copytree(own.root, tmp_path / name, symlinks=True)))

    undisturbed = copy("undisturbed")
    total = collect_until(undisturbed, 10**6)
    wanted = state(undisturbed)
    assert total > 40
    assert list(whole(undisturbed).values()) == [True, True, False, False, False]
    for moment in range(3, total, max(1, total // kills)) if kills < total else range(total):
        killed = copy("killed")
        collect_until(killed, moment)
        assert set(wanted[0]) <= set(state(killed)[0]), f"killed at {moment}: something is lost"
        collect_garbage(killed, keep=2)
        assert state(killed) == wanted, f"killed at {moment}"
        shutil.rmtree(killed.root)


def test_a_cache_that_others_use_is_left_alone(own: Workspace, tmp_path: Path) -> None:
    forget(own)
    (own.root / ".dvc" / "cache").rename(tmp_path / "cache")
    dvc(own.root, "cache", "dir", "--local", str(tmp_path / "cache"))
    found = collect_garbage(own, keep=1)
    assert (found.objects, found.dropped) == (0, ())
    assert "may be shared with other projects" in found.summary
    assert set(whole(own).values()) == {True}


def test_before_there_is_anything(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    workspace, _ = init(tmp_path / "empty", PARAMS)
    found = collect_garbage(workspace)
    assert (found.kept, found.objects, found.bytes) == ((), 0, 0)
    assert not caplog.records  # DVC's warnings are about its own command, and its handler may write to a closed stream
