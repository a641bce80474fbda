"""Videos in bulk jobs: chunks are painted once, whatever is killed, and the output is the same."""

import contextlib
import csv
import hashlib
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from PIL import Image

from atelier.models.card import identify
from atelier.tasks.bulk.dry_run import dry_run
from atelier.tasks.bulk.request import Rerun, StylizeRequest
from atelier.tasks.bulk.stylize import StylizeSummary, stylize
from atelier.tasks.images.provenance import read_packet
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.execution_plan import ExecutionConfig
from atelier.tasks.runtime.progress import Progress
from atelier.tasks.storage.local_folder import LocalFolder
from atelier.tasks.video.join import read_provenance
from tests.tasks.bulk.test_kills import _kill_a_worker
from tests.tasks.bulk.test_stylize import _driver, _tree
from tests.tasks.video.clips import clip, packets, times_of

CONFIG = StylizeConfig(execution=ExecutionConfig(backend="torch", precision="float32"))
Run = Callable[..., StylizeSummary]


@pytest.fixture
def run(ray_cluster: None, tiny_model: Path, tmp_path: Path) -> Run:
    def stylized(sources: Path, out: str = "out", config: StylizeConfig = CONFIG, **options: Any) -> StylizeSummary:
        report = options.pop("report", lambda progress: None)
        request = StylizeRequest(
            (str(sources),), tmp_path / out, tiny_model, config, identify(tiny_model, "style-model", "v1"), **options
        )
        return stylize(request, report, connect=lambda: None)

    return stylized


def test_a_folder_with_videos_and_pictures(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "in"
    film = clip(source / "a/film.mp4", 70, sounds=1, chapter=True)
    clip(source / "old.avi", 5, codec="mpeg4")
    (source / "broken.mkv").write_bytes(b"\x1aE\xdf\xa3 not really")
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(source / "picture.png")
    seen: list[Progress] = []
    summary = run(source, report=seen.append)
    assert (summary.total, summary.done, summary.quarantined, summary.pending) == (4, 3, 1, 0)
    out = tmp_path / "out"
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file() and "_atelier" not in p.parts) == [
        "a/film.mp4", "old.mkv", "picture.png",
    ]  # fmt: skip
    assert times_of(out / "a/film.mp4") == times_of(film)
    assert packets(out / "a/film.mp4", "audio") == packets(film, "audio")
    with av.open(str(out / "a/film.mp4")) as before, av.open(str(film)) as after:
        pairs = zip(before.decode(video=0), after.decode(video=0), strict=True)
        changes = [
            np.abs(a.to_ndarray(format="rgb24").astype(int) - b.to_ndarray(format="rgb24")).mean() for a, b in pairs
        ]
    assert len(changes) == 70
    assert min(changes) > 5  # painted
    assert not list((out / "_atelier/chunks").iterdir())
    assert max(one.total for one in seen) == 4 + 75
    with (out / "_atelier/quarantine.csv").open() as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["broken.mkv"]
    page = (out / "_atelier/report.html").read_text()
    assert page.count("data:image") >= 6  # a still of each video beside its own

    before_again = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert run(source).processed == 0
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before_again


def test_a_run_that_stopped_paints_only_the_chunks_that_are_left(run: Run, tmp_path: Path) -> None:
    clip(tmp_path / "in/film.mkv", 200, sounds=1)
    calm = run(tmp_path / "in", "calm")
    assert calm.done == 1

    class StoppedError(Exception):
        pass

    def stop(progress: Progress) -> None:
        of_the_job = threading.current_thread() is threading.main_thread()  # not of its watch
        if of_the_job and progress.stage == "stylize" and 100 < progress.done < progress.total:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(tmp_path / "in", report=stop)
    out = tmp_path / "out"
    assert not (out / "film.mkv").exists()
    there = {p.name: p.stat().st_mtime_ns for p in (out / "_atelier/chunks").glob("*.mkv")}
    assert 1 <= len(there) < 4

    seen: list[Progress] = []
    assert run(tmp_path / "in", report=seen.append).done == 1
    assert seen[-1].total < 201  # chunks that are there are neither painted nor counted again
    assert (out / "film.mkv").read_bytes() == (tmp_path / "calm/film.mkv").read_bytes()


def test_a_damaged_video_is_painted_up_to_its_damage_where_that_is_asked_for(run: Run, tmp_path: Path) -> None:
    whole = clip(tmp_path / "whole.mkv", 50).read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/cut.mkv").write_bytes(whole[: len(whole) // 2])
    assert run(tmp_path / "in").quarantined == 1
    again = run(tmp_path / "in", config=replace(CONFIG, salvage=True), rerun=Rerun(retry_quarantined=True))
    assert (again.done, again.quarantined) == (1, 0)
    assert 5 < len(times_of(tmp_path / "out/cut.mkv")) < 50


def test_a_video_that_has_changed_is_painted_anew(run: Run, tmp_path: Path) -> None:
    """By the same processes of the cluster, which joined the one before."""
    for frames in (20, 90, 30):
        source = clip(tmp_path / "in/film.mp4", frames)
        assert run(tmp_path / "in").done == 1
        assert times_of(tmp_path / "out/film.mp4") == times_of(source)


def test_an_archive_of_videos_and_a_smaller_size(run: Run, tmp_path: Path) -> None:
    clip(tmp_path / "film.mp4", 6, rotation=90)
    shutil.make_archive(str(tmp_path / "videos"), "zip", tmp_path, "film.mp4")
    summary = run(tmp_path / "videos.zip", config=replace(CONFIG, size=32))
    assert summary.done == 1, (tmp_path / "out/_atelier/quarantine.csv").read_text()
    with av.open(str(tmp_path / "out/film.mp4")) as made:
        shape = [(frame.width, frame.height) for frame in made.decode(video=0)]
    assert shape == [(24, 32)] * 6
    provenance = read_packet(read_provenance(tmp_path / "out/film.mp4"))
    assert provenance
    assert provenance.parameters["size"] == 32
    assert provenance.parameters["video"]["codec"] == "av1"
    assert provenance.input_sha256 == hashlib.sha256((tmp_path / "film.mp4").read_bytes()).hexdigest()


def _kill_the_driver(out: Path, driver: "subprocess.Popen[bytes]") -> None:
    """It is killed after each deed."""


def _kill_a_join(out: Path, driver: "subprocess.Popen[bytes]") -> None:
    """Kill the process that joins chunks, where one is seen before the job ends."""
    while driver.poll() is None and not (out / "film.mkv").exists():
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "join_chunks" in " ".join(process.cmdline()):
                    process.kill()
                    return
        time.sleep(0.001)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "deeds",
    [
        pytest.param([_kill_a_worker, _kill_the_driver, _kill_a_join], id="each once"),
        pytest.param([_kill_a_worker, _kill_the_driver, _kill_a_join] * 4, marks=pytest.mark.slow, id="many"),
    ],
)
def test_kills_leave_the_bytes_of_a_job_that_was_never_disturbed(
    run: Run, tmp_path: Path, tiny_model: Path, deeds: list[Callable[[Path, "subprocess.Popen[bytes]"], None]]
) -> None:
    import ray

    source = tmp_path / "in"
    clip(source / "film.mkv", 260, sounds=1)
    clip(source / "short.mp4", 30)
    assert run(source, "calm", StylizeConfig(format="png")).done == 2
    address = ray.get_runtime_context().gcs_address
    random = np.random.default_rng(len(deeds))
    out = tmp_path / "out"

    def chunks() -> int:
        return len(list((out / "_atelier/chunks").glob("*.mkv"))) + 5 * (out / "film.mkv").exists()

    for deed in deeds:
        driver = _driver(str(source), out, tiny_model, address)
        enough = chunks() + int(random.integers(0, 3))
        try:
            while driver.poll() is None and chunks() < enough:
                time.sleep(0.005)
            if driver.poll() is None and not (out / "film.mkv").exists():
                deed(out, driver)
        finally:
            driver.kill()
            driver.wait(60)
    summary = run(source, config=StylizeConfig(format="png"), rerun=Rerun(retry_quarantined=True))
    assert (summary.done, summary.quarantined, summary.pending) == (2, 0, 0)
    assert _tree(out) == _tree(tmp_path / "calm")
    assert LocalFolder(out).remove_leftovers() == 0
    assert not list((out / "_atelier/chunks").iterdir())


@pytest.mark.usefixtures("ray_cluster")
def test_a_dry_run_tells_frames_and_time_and_writes_nothing(tiny_model: Path, tmp_path: Path) -> None:
    for number in range(3):
        clip(tmp_path / f"in/{number}.mp4", 40)
    (tmp_path / "in/broken.mkv").write_bytes(b"broken")
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "in/picture.png")
    out = tmp_path / "out"
    request = StylizeRequest(
        (str(tmp_path / "in"),), out, tiny_model, CONFIG, identify(tiny_model, "style-model", "v1")
    )
    found = dry_run(request, connect=lambda: None)
    assert (found.pictures, found.videos, found.failed) == (5, 4, 0)
    assert 110 <= found.frames <= 125  # by the bytes of those that are not in the sample
    assert found.minutes > 0
    assert found.images_per_second > 0
    assert "4 are videos, with about" in found.summary
    assert not out.exists()
