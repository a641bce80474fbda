"""What never answers: a stopped worker, a file that cannot be read to its end, a job in which nothing happens."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from atelier.models.card import ModelIdentity
from atelier.tasks.bulk import deadlines
from atelier.tasks.bulk.crash_markers import CrashMarkers
from atelier.tasks.bulk.job_watch import JobWatch
from atelier.tasks.bulk.request import StylizeRequest
from atelier.tasks.bulk.stylize import stylize
from atelier.tasks.runtime.progress import Progress
from tests.tasks.bulk.test_kills import _workers
from tests.tasks.bulk.test_stylize import (
    CONFIG,
    _picture,
    _quarantine,
    _tree,
    identity,  # noqa: F401  a fixture
    model,  # noqa: F401  a fixture
)

PICTURES = 60


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("stages", ["together", "apart"])
def test_a_stopped_worker_is_replaced_and_a_file_that_hangs_is_quarantined(
    tmp_path: Path,
    model: Path,  # noqa: F811
    identity: ModelIdentity,  # noqa: F811
    stages: str,
) -> None:
    for index in range(PICTURES):
        _picture(tmp_path / f"in/{index}.png", index)
    archive, out, stopped = tmp_path / "dead.zip", tmp_path / "out", list[psutil.Process]()
    with zipfile.ZipFile(archive, "w") as members:
        members.write(tmp_path / "in/0.png", "hangs.png")

    def connect() -> None:
        """When the sources are listed, the archive becomes a pipe: who reads it waits for ever, as at a dead mount."""
        archive.unlink()
        os.mkfifo(archive)
        threading.Thread(target=stop_a_worker, daemon=True).start()

    def stop_a_worker() -> None:
        while not stopped:
            time.sleep(0.02)
            if list(out.rglob("*.png")) and (found := [worker for worker in _workers() if _is_watched(worker)]):
                found[0].suspend()
                stopped.append(found[0])

    config = replace(CONFIG, picture_timeout_s=5.0, stages=stages)  # type: ignore[arg-type]
    request = StylizeRequest((str(tmp_path / "in"), str(archive)), out, model, config, identity)
    begun = time.monotonic()
    summary = stylize(request, connect=connect)
    assert (summary.done, summary.quarantined, summary.pending) == (PICTURES, 1, 0)
    assert time.monotonic() - begun < 150
    assert set(_tree(out)) == {f"in/{index}.png" for index in range(PICTURES)}
    why = "took longer than 5 s, twice: stylize.picture_timeout_s is the limit"
    assert _quarantine(out) == [{"path": "dead/hangs.png", "stage": "read", "reason": why}]
    _wait_for_the_end_of(stopped[0])  # it outlives a job that the other worker finished meanwhile
    assert not any((out / "_atelier/inflight").iterdir())


def _is_watched(worker: psutil.Process) -> bool:
    """Whether a worker has begun: its watch is a process below it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return any(deadlines.MODULE in one.cmdline() for one in worker.children())
    return False


def _wait_for_the_end_of(process: psutil.Process) -> None:
    end = time.monotonic() + 60
    while psutil.pid_exists(process.pid) and process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, "the stopped worker was left"
        time.sleep(0.1)


def test_a_process_is_killed_while_it_holds_the_lock_of_the_interpreter() -> None:
    """As by a decoder in C that never returns; quick operations and idle times are left alone."""
    program = (
        "import re, time\nfrom atelier.tasks.runtime.process_watch import ProcessWatch\nwatch = ProcessWatch(60.0)\n"
        "for _ in range(3):\n    with watch.operation('quick', 0.9):\n        time.sleep(0.5)\n"
        "time.sleep(1.5)\n"
        "with watch.operation('a regular expression', 1.0):\n    re.match(r'(a*)*b', 'a' * 64)\n"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert 3.0 < time.monotonic() - begun < 30.0


def test_a_job_says_what_is_waited_for_and_ends_without_a_sign_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atelier.tasks.bulk.job_watch.QUIET_S", 0.1)
    monkeypatch.setattr("atelier.tasks.bulk.job_watch.START_S", 0.1)
    monkeypatch.setattr("atelier.tasks.bulk.job_watch.EVERY_S", 0.05)
    markers, seen = CrashMarkers(tmp_path), list[Progress]()
    (tmp_path / "note-1").write_text(json.dumps({"finished": 3, "held": [["decode", "a.png", 40]]}))
    (tmp_path / "note-2").write_text('{"finished"')
    watch = JobWatch(markers, seen.append, timeout_s=0.5)
    watch.workers_count = True
    watch.report(Progress("stylize", 3, 9, "images"))
    (tmp_path / "count-a").write_text("2")
    (tmp_path / "count-b").write_text("1")
    (tmp_path / "count-c").touch()
    message = r"no sign of life from the workers for \d+ s \(decode a.png, 40 s\)"
    with pytest.raises(RuntimeError, match=message), watch.watching():
        time.sleep(20)
    assert re.fullmatch(r"nothing finished for \d+ s: decode a.png, 40 s", seen[-1].note)
    assert [(one.done, one.note) for one in seen[:2]] == [(3, ""), (6, "")], "what workers count is shown at once"
    watch.report(Progress("stylize", 5, 9, "images"))
    assert seen[-1].done == 6, "a block that is recorded counts once"
    (tmp_path / "count-b").write_text("70")
    watch.check()
    assert seen[-1].done == 8, "what two workers have counted is no end"
    watch.report(Progress("stylize", 9, 9, "images"))
    assert seen[-1].done == 9
