"""The pipeline with real DVC: order, trust, running changed stages, ending together."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from atelier.tasks.runtime.processes import git
from atelier.tasks.workspace import pipeline, trust
from atelier.tasks.workspace.create import init
from atelier.tasks.workspace.layout import Workspace

pytestmark = pytest.mark.long

PARAMS = "ingest: {seed: 0}\naugment: {seed: 0}\ntrain: {seed: 0}\nevaluate: {seed: 0}\n"
# stages like the real ones, with a small file instead of pictures
SMALL = """\
stages:
  second:
    cmd: cat one > two
    deps: [one]
    params: [train.seed]
    outs: [two]
  first:
    cmd: echo working && cat sources.lock > one
    deps: [sources.lock]
    params: [ingest.seed]
    outs: [one]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace, _ = init(tmp_path_factory.mktemp("made") / "studio", PARAMS)
    return workspace


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(made.root, tmp_path / "studio", symlinks=True)))


@pytest.fixture
def small(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv(trust.VARIABLE, "1")
    workspace.dvc_yaml.write_text(SMALL)
    workspace.sources_lock.write_text("pictures\n")
    return workspace


def test_the_template_is_in_order(workspace: Workspace) -> None:
    assert pipeline.stages(workspace) == ["ingest", "augment", "train", "evaluate"]


def test_only_changed_stages_run(small: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    assert pipeline.stages(small) == ["first", "second"]
    assert [pipeline.reproduce(small, s) for s in ("first", "second")] == ["ran", "ran"]
    said = capfd.readouterr()
    assert "working\n" in said.err, "the stage's words beside DVC's"
    assert said.out == ""
    assert [pipeline.reproduce(small, s) for s in ("first", "second")] == ["unchanged", "unchanged"]
    small.params.write_text(PARAMS.replace("train: {seed: 0}", "train: {seed: 1}"))
    assert [pipeline.reproduce(small, s) for s in ("first", "second")] == ["unchanged", "ran"]
    small.params.write_text(PARAMS)
    assert [pipeline.reproduce(small, s) for s in ("first", "second")] == ["unchanged", "restored"]
    assert (small.root / "two").read_text() == "pictures\n"


def test_a_raised_format_reruns_its_stage_alone(small: Workspace) -> None:
    small.dvc_yaml.write_text(SMALL.replace("params: [train.seed]", "params: [{formats.yaml: [train]}]"))
    assert [pipeline.reproduce(small, s) for s in ("first", "second")] == ["ran", "ran"]
    # as after a change of the code
    small.dvc_lock.write_text(re.sub(r"train: \d+", "train: 0", small.dvc_lock.read_text()))
    shutil.rmtree(small.root / ".dvc" / "cache" / "runs")
    assert [pipeline.reproduce(small, s) for s in ("first", "second")] == ["unchanged", "ran"]


def test_a_failing_stage_is_one_line(small: Workspace) -> None:
    small.dvc_yaml.write_text(SMALL.replace("echo working", "exit 3"))
    with pytest.raises(RuntimeError, match=r"^stage first failed[^\n]*$"):
        pipeline.reproduce(small, "first")
    assert not (small.root / "one").exists()
    small.params.write_text(PARAMS + "checks: {photos: [windows://here]}\n")  # which needs quotes for DVC
    with pytest.raises(RuntimeError, match=r"^stage first failed: DVC did not run it: unable to read: 'params.yaml'"):
        pipeline.reproduce(small, "first")


def test_a_broken_rwlock_of_a_killed_dvc_is_removed(small: Workspace) -> None:
    rwlock = small.root / ".dvc" / "tmp" / "rwlock"
    rwlock.parent.mkdir(exist_ok=True)
    rwlock.write_text('{"read": {"/som')
    assert pipeline.reproduce(small, "first") == "ran"


def test_commit_takes_the_files_of_atelier_and_no_others(small: Workspace) -> None:
    pipeline.reproduce(small, "first")
    (small.root / "notes.txt").write_text("mine")
    small.params.write_text(PARAMS + "# mine\n")
    git(small.root, "add", "notes.txt")
    first = pipeline.commit(small, "A night")
    assert set(git(small.root, "show", "--format=", "--name-only").split()) == {
        "dvc.lock", "dvc.yaml", "sources.lock", ".gitignore"
    }  # fmt: skip
    assert git(small.root, "status", "--porcelain").split() == ["M", "params.yaml", "A", "notes.txt"] or (
        "notes.txt" in git(small.root, "diff", "--cached", "--name-only")
    )
    assert pipeline.commit(small, "Nothing") == first


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_dvc_and_the_stage_end_with_the_command(small: Workspace, number: signal.Signals) -> None:
    stage = (
        "import os, time; from pathlib import Path; from atelier.tasks.runtime.processes import die_with_parent\n"
        "die_with_parent(); Path('pids').write_text(str(os.getpid())); time.sleep(100)\n"
    )
    (small.root / "stage.py").write_text(stage)
    small.dvc_yaml.write_text(SMALL.replace("echo working && cat sources.lock > one", f"{sys.executable} stage.py"))
    caller = (
        "import sys; from pathlib import Path; from atelier.tasks.workspace import layout, pipeline\n"
        "pipeline.reproduce(layout.Workspace(Path(sys.argv[1])), 'first')\n"
    )
    with subprocess.Popen([sys.executable, "-c", caller, str(small.root)], stderr=subprocess.DEVNULL) as command:
        started = _wait_for(small.root / "pids")
        command.send_signal(number)
        command.wait(30)
    _, alive = psutil.wait_procs(started, timeout=20)
    assert alive == []
    (small.root / "pids").unlink()


def _wait_for(pids: Path) -> list[psutil.Process]:
    deadline = time.monotonic() + 60
    while not (pids.exists() and pids.read_text()):
        assert time.monotonic() < deadline, "the stage did not start"
        time.sleep(0.05)
    found = [psutil.Process(int(pid)) for pid in pids.read_text().split()]
    dvc = next(p for p in found[0].parents() if "atelier.tasks.workspace.safe_dvc" in p.cmdline())
    return [found[0], dvc]
