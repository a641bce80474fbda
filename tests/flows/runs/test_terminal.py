"""The terminal has our own lines only; what libraries and child processes write is in a log."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from atelier.flows.runs.logs import KEPT, find_log, list_logs, new_log, read_log
from atelier.flows.runs.terminal import LOG
from atelier.tasks.workspace.layout import Workspace

PROGRAM = """
import os, subprocess, sys, logging
from pathlib import Path
from atelier.flows.cli.output import result
from atelier.flows.runs.terminal import library_log, say
from atelier.tasks.workspace.layout import Workspace
with library_log(Workspace(Path(sys.argv[1])), "train"):
    say("ours [red]x[/red] 1 of 2")
    print("python", file=sys.stderr)
    logging.getLogger("ray").warning("warned")
    os.write(2, b"core\\n")
    print("printed")
    os.write(1, b"written\\n")
    subprocess.run(["sh", "-c", "echo child >&2; echo child 1"], check=True)
    with library_log(None, "inner"):
        os.write(2, b"inner\\n")
        result({"found": 1}, as_json=True)
    if len(sys.argv) > 2:
        raise eval(sys.argv[2])
print("after", file=sys.stderr)
print("after")
"""
THEIRS = ["python", "warned", "core", "printed", "written", "child", "child 1", "inner"]
ON_STDERR = ["python", "warned", "core", "child", "inner"]
RESULT = '{\n  "found": 1\n}\nafter\n'


def run(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ATELIER_")}
    command = [sys.executable, "-c", PROGRAM, str(root), *arguments]
    return subprocess.run(command, env=inherited | variables, capture_output=True, text=True)


def logged(root: Path) -> list[str]:
    (log,) = list_logs(Workspace(root).logs)
    return log.read_text().splitlines()


def test_only_our_own_lines_are_shown(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.stderr.splitlines() == ["ours [red]x[/red] 1 of 2", "after"]
    assert logged(tmp_path) == THEIRS
    assert done.stdout == RESULT


@pytest.mark.parametrize(("error", "named"), [("RuntimeError('lost')", True), ("ValueError('wrong')", False)])
def test_an_error_names_its_log(tmp_path: Path, error: str, named: bool) -> None:
    done = run(tmp_path, error)
    assert ("details: `atelier logs 2" in done.stderr) == named


def test_verbose_keeps_no_log(tmp_path: Path) -> None:
    done = run(tmp_path, ATELIER_VERBOSITY="verbose")
    assert done.stderr.splitlines() == ["ours [red]x[/red] 1 of 2", *THEIRS, "after"]
    assert done.stdout == RESULT
    assert not Workspace(tmp_path).logs.exists()


def test_quiet_and_a_wrong_value(tmp_path: Path) -> None:
    assert run(tmp_path, ATELIER_VERBOSITY="quiet").stderr.splitlines() == ["after"]
    assert "ATELIER_VERBOSITY is 'loud'" in run(tmp_path, ATELIER_VERBOSITY="loud").stderr


def test_a_child_of_a_run_writes_into_its_log(tmp_path: Path) -> None:
    assert run(tmp_path, **{LOG: "20261129-020000-retrain"}).stderr.splitlines()[1:] == [*ON_STDERR, "after"]


def test_a_log_is_found_by_name_beginning_and_command(tmp_path: Path) -> None:
    for name in ("20261128-020000-retrain", "20261129-020000-retrain", "20261129-030000-train"):
        (tmp_path / f"{name}.log").touch()
    for run, found in [("", "29-030000-train"), ("train", "29-030000-train"), ("retrain", "29-020000-retrain")]:
        assert find_log(tmp_path, run).stem == f"202611{found}"
    assert find_log(tmp_path, "20261128").stem == "20261128-020000-retrain"
    with pytest.raises(FileNotFoundError, match=r"no log of 'up' .*; there are 20261128"):
        find_log(tmp_path, "up")


def test_old_logs_go_and_runs_of_one_second_have_two(tmp_path: Path) -> None:
    for n in range(KEPT + 5):
        (tmp_path / f"2020{n:04}-000000-train.log").touch()
    with new_log(tmp_path, "train"), new_log(tmp_path, "train"):
        assert len(list_logs(tmp_path)) == KEPT


def test_a_log_is_followed_to_the_end_of_its_run(tmp_path: Path) -> None:
    seen = list[str]()
    with new_log(tmp_path, "train") as log:
        log.write(b"one\n")
        follower = threading.Thread(target=lambda: seen.extend(read_log(find_log(tmp_path, ""), follow=True)))
        follower.start()
        log.write(b"two\n")
    follower.join(10)
    assert not follower.is_alive()
    assert "".join(seen) == "one\ntwo\n"
    assert "".join(read_log(find_log(tmp_path, ""), follow=False)) == "one\ntwo\n"
