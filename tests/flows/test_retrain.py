"""Nights in a real workspace, with a real server, cluster, git, DVC and remote; only networks and steps are tiny.

The tests are the nights of one workspace, in their order: each finds what the one before left.
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from atelier.flows.runs.prefect_artifacts import artifact_key
from atelier.tasks.registry.promotion import promote, rollback
from atelier.tasks.storage.sample_images import list_crops, read
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock
from atelier.tasks.workspace.repository import dvc, git
from tests.flows.conftest import Atelier
from tests.flows.receiver import Service
from tests.flows.small import asked, set_param, set_params
from tests.flows.studio import Studio, new_studio


@pytest.fixture(scope="module")
def studio(atelier: Atelier, plane: str, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    made = new_studio(atelier, tmp_path_factory.mktemp("nights"), retries=1, retry_after_s=0.1)
    set_params(made.root, start_from="prod")
    dvc(made.root, "remote", "add", "--default", "vault", str(remote(made)))
    git(made.root, "commit", "--quiet", "--all", "--message", "our remote")
    return made


def remote(studio: Studio) -> Path:
    """The folder to which DVC pushes."""
    return studio.root.with_name("remote")


def test_the_first_night_goes_all_the_way(studio: Studio, plane: str) -> None:
    done, stages = studio.run(), ("ingest", "augment", "train", "evaluate")
    for stage in stages:
        assert re.search(rf"(?m)^{stage} +\d+/\d+ ", done.stderr), f"{stage} showed no progress"
    assert json.loads(done.stdout) == studio.record
    night = studio.record
    assert (night["decision"], night["version"], night["problems"]) == ("promoted", "v1.0.0", [])
    assert night["stages"] == dict.fromkeys(stages, "ran")
    assert not (studio.root / ".atelier" / "night").exists()
    assert git(studio.root, "status", "--porcelain") == ""
    assert "atelier/night" not in git(studio.root, "branch", "--list", "--all")
    assert len(list((studio.restyled / "current").glob("*.png"))) == 2
    assert sorted(p.name for p in studio.restyled.iterdir()) == ["current", "v1.0.0"]
    shutil.rmtree(studio.root / ".dvc" / "cache")
    dvc(studio.root, "pull", "--quiet")  # all that the workspace names is in the remote

    for name in ("params.yaml", "dvc.yaml", "dvc.lock", "sources.lock", "data/dataset/dataset.json"):
        assert (studio.root / name).is_file(), name
    for name in ("data/augmented/contact_sheet.png", "artifacts/style-model/generator.safetensors"):
        assert (studio.root / name).is_file(), name
    page = (studio.root / "reports/index.html").read_text()
    assert "v1.0.0" in page
    assert not re.search(r"""(src|href)=["']https?:""", page), "the report must not load anything"
    versions = json.loads(studio.atelier("models", "list", "--json", "--workspace", studio.root).stdout)
    assert [(v["version"], v["stage"]) for v in versions] == [("v1.0.0", "prod")]

    runs = {run["name"]: run for run in asked(plane, "flow_runs")}
    for name in ("retrain", *stages):
        run = runs[f"{name} studio"]
        assert run["state_type"] == "COMPLETED"
        process, workspace = sorted(run["tags"])
        assert (process.partition(":")[0], workspace) == ("process", "studio")
    found = asked(plane, "artifacts")
    told = {one["flow_run_id"]: set[str]() for one in found} | {runs["retrain studio"]["id"]: set()}
    for one in found:
        if one["type"] == "progress":
            told[one["flow_run_id"]].add(one["description"].partition(":")[0])
    assert told[runs["retrain studio"]["id"]] >= set(stages), "`atelier status` shows the stage of a night"
    assert not told.get(runs["train studio"]["id"])
    artifacts = {artifact["key"]: artifact["data"] for artifact in found if artifact["key"]}
    shown = artifacts[artifact_key(studio.root, "before-after")]
    assert "data:image/jpeg;base64," in shown
    assert len(shown) < 100_000
    assert "v1.0.0" in artifacts[artifact_key(studio.root, "decision")]
    assert artifact_key(studio.root, "night") in artifacts


def test_nothing_changed_is_told_and_new_pictures_of_the_archive_are_added(studio: Studio) -> None:
    before = studio.snapshot()
    (studio.archive / "new.png").write_bytes(next(studio.photos.glob("*.png")).read_bytes())
    night = studio.night()
    assert (night["decision"], night["version"]) == ("nothing changed", "v1.0.0")
    assert set(night["stages"].values()) == {"unchanged"}
    assert studio.snapshot() == before
    assert (studio.restyled / "v1.0.0" / "new.png").is_file()
    assert "up to date" in dvc(studio.root, "repro"), "by hand, as dvc.yaml says, there is nothing to do either"


def test_an_archive_is_restyled_once_and_can_tell_by_what(studio: Studio, tmp_path: Path) -> None:
    source, restyled = tmp_path / "source" / "trip", tmp_path / "restyled"
    source.mkdir(parents=True)
    for index, crop in enumerate(list_crops("sample://photos")[:3]):
        (source / f"{index}.png").write_bytes(read(crop.name, "sample://photos"))
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff but no picture")
    model = ("--model", "style-model@prod", "--workspace", studio.root, "--json")
    done = studio.atelier("stylize", source.parent, restyled, *model)
    assert done.returncode == 3, done.stderr
    summary = json.loads(done.stdout)
    counted = {"total": 4, "done": 3, "skipped": 0, "quarantined": 1, "pending": 0}
    assert {key: summary[key] for key in counted} == counted
    assert "broken.jpg" in (restyled / "_atelier" / "quarantine.csv").read_text()
    (inspected,) = json.loads(studio.atelier("inspect", restyled / "trip" / "0.png", "--json").stdout)
    assert inspected["lineage"]["model"]["version"] == "v1.0.0"

    def state() -> dict[str, tuple[int, bytes]]:
        return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(restyled.rglob("*.png"))}

    before = state()
    again = studio.atelier("stylize", source.parent, restyled, *model)
    assert again.returncode == 3
    assert json.loads(again.stdout)["processed"] == 0
    assert state() == before


def test_a_source_that_cannot_be_reached_is_tried_again_and_told(studio: Studio) -> None:
    before = studio.snapshot()
    away = studio.photos.rename(studio.photos.with_name("away"))
    night = studio.night(code=2)
    assert night["decision"] == "failed"
    assert str(studio.photos) in night["reasons"][0]
    away.rename(studio.photos)
    assert studio.snapshot() == before
    with lock(Workspace(studio.root), "night"):
        second = studio.atelier("retrain", "--workspace", studio.root)
    assert second.returncode == 1
    assert "`atelier retrain` is already running" in second.stderr
    last = json.loads(studio.atelier("status", "--json").stdout)["last_night"]
    assert last["state"] == "Failed", "the one before: what was dropped was no night"


def test_poisoned_data_stop_the_night_before_it_trains(studio: Studio) -> None:
    before = studio.snapshot()
    poison = [studio.photos / f"poison{index}.png" for index in range(12)]
    for path in poison:
        path.write_bytes(b"no picture")
    night = studio.night(code=1)
    assert night["decision"] == "stopped before training"
    assert "checks.max_quarantined_share" in night["reasons"][0]
    assert night["stages"] == {"ingest": "ran"}
    assert studio.snapshot() == before
    for path in poison:
        path.unlink()
    assert "viewed_pictures:" not in (studio.root / "params.yaml").read_text()
    set_param(studio.root, "evaluate.viewed_pictures", 2)  # new in the file: DVC has seen the section without it
    night = studio.night()
    assert night["decision"] == "prod already"
    # the parameter's stage, and what had been poisoned; no other
    assert night["stages"] == {"ingest": "ran", "augment": "unchanged", "train": "unchanged", "evaluate": "ran"}
    assert studio.prod == before["prod"]
    assert studio.night()["decision"] == "nothing changed"


def test_a_full_disk_fails_the_night_and_the_next_one_goes_on(studio: Studio) -> None:
    before = studio.snapshot()
    studio.learn_anew(6)
    checkpoints = studio.root / ".atelier" / "checkpoints"
    checkpoints.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(checkpoints)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system needs the right to mount: {mounted.stderr.strip()}")
    set_params(studio.root, retries=0)  # it would not pass the second time either
    try:
        night = studio.night(code=1)
    finally:
        subprocess.run(["umount", str(checkpoints)], check=True)
    assert night["decision"] == "failed"
    assert "space" in night["reasons"][0]
    assert studio.snapshot() == before
    set_params(studio.root, retries=1)
    tags = git(studio.root, "tag")
    night = studio.night("--dry")
    assert (night["decision"], night["stages"]["augment"]) == ("would be promoted", "unchanged")
    assert studio.snapshot() == before
    assert git(studio.root, "tag") == tags, "a dry night registers nothing"


def test_a_training_that_diverges_is_not_tried_again(studio: Studio, plane: str) -> None:
    before = studio.snapshot()
    text = (studio.root / "params.yaml").read_text()
    set_params(studio.root, content_weight=1e30)
    night = studio.night(code=1)
    assert night["decision"] == "failed"
    assert "training was stopped" in night["reasons"][0]
    assert studio.snapshot() == before
    trainings = [run for run in asked(plane, "task_runs") if run["name"] == "train" and run["state_type"] == "FAILED"]
    assert max(trainings, key=lambda run: str(run["start_time"]))["run_count"] == 1
    (studio.root / "params.yaml").write_text(text)


def test_a_refused_candidate_stays_refused_and_leaves_everything(
    studio: Studio, plane: str, service: ThreadingHTTPServer
) -> None:
    before = studio.snapshot()
    set_params(studio.root, max_kid_ratio=0.0, urls="[TEAM_CHAT]")
    night = studio.night(code=4, chat=f"json://127.0.0.1:{service.server_port}/take")
    ((_, body),) = Service.messages
    message = json.loads(body)
    assert message["title"] == "studio: v1.1.0 refused"
    assert "kid.ratio is" in message["message"]
    assert plane.removesuffix("/api") in message["message"], "a link into Prefect"
    assert base64.b64decode(message["attachments"][0]["base64"]).startswith(b"\xff\xd8"), "a JPEG"
    assert len(body) < 100_000
    set_params(studio.root, urls="[]")
    assert (night["decision"], night["version"], night["previous"]) == ("refused", "v1.1.0", "v1.0.0")
    assert night["stages"]["train"] == "restored", "the dry night before has trained it"
    assert set(night["differences"]) == {"kid.ratio", "style.ratio", "ssim.mean"}
    assert len(night["canaries"]) == 3
    assert studio.snapshot() == before
    set_params(studio.root, max_kid_ratio=1000.0)
    again = studio.night(code=4)
    assert (again["decision"], again["version"]) == ("refused", "v1.1.0")  # not "nothing changed", and not promoted
    assert set(again["stages"].values()) == {"unchanged"}
    assert studio.snapshot() == before
    page = (studio.root / "reports" / "index.html").read_text()
    assert "v1.1.0" in page
    assert "Candidate and prod" in page


def test_killed_in_the_middle_the_next_night_continues_and_a_remote_that_is_down_keeps_prod(
    studio: Studio, environment: dict[str, str]
) -> None:
    before = studio.snapshot()
    studio.learn_anew(2)
    set_params(studio.root, steps=20, checkpoint_every=5, workers=1)
    program = Path(sys.executable).with_name("atelier")
    command = [str(program), "retrain", "--workspace", str(studio.root)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        checkpoints = studio.root / ".atelier" / "checkpoints"
        deadline = time.monotonic() + 180
        # when the second one begins, the first is whole
        while len(list(checkpoints.glob("*/checkpoint_*/"))) < 2:
            assert process.poll() is None, "it ended before it had two checkpoints"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive, "DVC and the stage die with the command"
    assert studio.snapshot() == before
    away = remote(studio).rename(studio.root.with_name("away"))
    remote(studio).write_text("no folder")
    done = studio.run(code=1)
    assert "continuing from step" in done.stderr, "it began again from nothing"
    night = studio.record
    assert night["decision"] == "failed"
    assert "push" in night["reasons"][0]
    assert studio.snapshot() == before
    remote(studio).unlink()
    away.rename(remote(studio))
    # a person's choice since the comparison stays
    promote(Workspace(studio.root), "v1.1.0", reason="x")
    chosen = studio.snapshot()
    night = studio.night()
    assert (night["decision"], night["version"]) == ("prod changed meanwhile", "v1.2.0")
    assert "compared with v1.0.0, but v1.1.0 is prod since" in night["reasons"][0]
    assert studio.snapshot() == chosen
    rollback(Workspace(studio.root), "x")


def test_a_person_approves_where_the_gate_is_manual(studio: Studio, plane: str, environment: dict[str, str]) -> None:
    """What the night before has trained, and could not promote."""
    before = studio.snapshot()
    set_params(studio.root, mode="manual")
    night = studio.night()
    assert (night["decision"], night["version"]) == ("awaiting approval", "v1.2.0")
    assert set(night["stages"].values()) == {"unchanged"}
    assert studio.snapshot() == before
    states = {run["state_name"] for run in asked(plane, "flow_runs") if run["name"] == "retrain studio"}
    assert "AwaitingApproval" in states
    code = (
        "from atelier.flows.control_plane.session import use\n"
        "with use():\n"
        "    from atelier.flows.retrain import approve\n"
        "    print(approve().decision)"
    )
    here = environment | {"ATELIER_WORKSPACE": str(studio.root)}
    done = subprocess.run([sys.executable, "-c", code], env=here, capture_output=True, text=True)
    assert done.stdout.strip().endswith("promoted"), done.stderr
    assert studio.prod == "v1.2.0"
    model = json.loads((studio.root / "artifacts/style-model/model.json").read_text())
    assert model["train"]["start_from"] == "v1.0.0", "it goes on from what was prod"
    assert os.readlink(studio.restyled / "current") == "v1.2.0"  # noqa: PTH115
    assert len(list((studio.restyled / "v1.2.0").glob("*.png"))) == 3
    assert len(list((studio.restyled / "v1.0.0").glob("*.png"))) == 3
    set_params(studio.root, mode="auto")


def test_from_git_and_the_remote_alone_the_work_goes_on(studio: Studio, tmp_path: Path) -> None:
    picture, clone = next(studio.archive.glob("*.png")), tmp_path / "clone"
    git(studio.root, "commit", "--quiet", "--all", "--message", "parameters")
    git(tmp_path, "clone", "--quiet", str(studio.root), str(clone))
    dvc(clone, "pull", "--quiet")
    for root, name in ((studio.root, "here.png"), (clone, "there.png")):
        model = ("--model", "style-model@prod", "--workspace", root)
        assert studio.atelier("stylize", picture, tmp_path / name, *model).returncode == 0
    assert (tmp_path / "here.png").read_bytes() == (tmp_path / "there.png").read_bytes()
    other = replace(studio, root=clone, restyled=studio.restyled)
    assert other.night()["decision"] == "nothing changed"


@pytest.mark.slow
def test_a_lost_ray_node_fails_the_night_and_the_next_one_goes_on(
    studio: Studio, environment: dict[str, str], tmp_path: Path
) -> None:
    before = studio.snapshot()
    studio.learn_anew(7)
    set_params(studio.root, steps=100, checkpoint_every=5, workers=1)
    program = Path(sys.executable).with_name("atelier")
    command = [str(program), "retrain", "--workspace", str(studio.root)]
    alone = environment | {"ATELIER_HOME": str(tmp_path)}  # it finds no control plane, and starts one
    process = subprocess.Popen(command, env=alone, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        checkpoints = studio.root / ".atelier" / "checkpoints"
        deadline = time.monotonic() + 180
        while not list(checkpoints.glob("*/checkpoint_*/")):
            assert process.poll() is None, "it ended before it had a checkpoint"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for child in psutil.Process(process.pid).children(recursive=True):
            if child.name() == "raylet":
                child.kill()
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
        process.wait()
        assert studio.atelier("down", ATELIER_HOME=str(tmp_path)).returncode == 0
    assert process.returncode == 1, said
    assert studio.snapshot() == before
    assert studio.night()["decision"] == "promoted"
