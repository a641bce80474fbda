"""The demo in miniature: real server, cluster, git, DVC and pictures; only the networks and the steps are tiny."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from atelier.flows.runs.prefect_artifacts import artifact_key
from atelier.tasks.workspace.repository import dvc
from tests.flows.small import SHRUNK, asked, set_params

EVERY_KEY = Path(__file__).parent / "config" / "before.yaml"
Atelier = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def workspace(atelier: Atelier, plane: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace after its first `atelier retrain`, with a params.yaml of every key, as older versions wrote it."""
    root = tmp_path_factory.mktemp("demo") / "demo"
    assert atelier("init", root, "--from", "demo").returncode == 0
    (root / "params.yaml").write_text(EVERY_KEY.read_text())
    set_params(root, **SHRUNK, size_px=64, workers=0, drift_sample=32)
    done = atelier("retrain", "--workspace", root)
    assert done.returncode == 0, done.stderr + done.stdout
    for stage in ("ingest", "augment", "train", "evaluate"):
        assert re.search(rf"(?m)^{stage} +\d+/\d+ ", done.stderr), f"{stage} showed no progress"
    return root


def night(atelier: Atelier, workspace: Path) -> dict[str, object]:
    done = atelier("retrain", "--workspace", workspace, "--json")
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_the_workspace_holds_what_was_promised(workspace: Path) -> None:
    for name in ("params.yaml", "dvc.yaml", "dvc.lock", "sources.lock", "data/dataset/dataset.json"):
        assert (workspace / name).is_file(), name
    for name in ("data/augmented/contact_sheet.png", "artifacts/style-model/generator.safetensors"):
        assert (workspace / name).is_file(), name
    page = (workspace / "reports/index.html").read_text()
    assert "v1.0.0" in page
    assert not re.search(r"""(src|href)=["']https?:""", page), "the report must not load anything"


def test_the_model_is_registered_and_prod(atelier: Atelier, workspace: Path) -> None:
    versions = json.loads(atelier("models", "list", "--json", "--workspace", workspace).stdout)
    assert [(v["version"], v["stage"]) for v in versions] == [("v1.0.0", "prod")]
    tags = subprocess.run(["git", "tag"], cwd=workspace, capture_output=True, text=True, check=True).stdout
    assert "style-model@v1.0.0" in tags
    left = subprocess.run(["git", "status", "--porcelain"], cwd=workspace, capture_output=True, text=True, check=True)
    # params.yaml is the user's to commit
    assert left.stdout.strip() in ("", "M params.yaml")


def test_every_stage_is_a_flow_run_with_a_readable_name(plane: str, workspace: Path) -> None:
    runs = {run["name"]: run for run in asked(plane, "flow_runs")}
    for name in ("retrain demo", "ingest demo", "augment demo", "train demo", "evaluate demo"):
        assert runs[name]["state_type"] == "COMPLETED"
    workspace_tag, process_tag = sorted(runs["train demo"]["tags"])
    assert workspace_tag == "demo"
    assert process_tag.startswith("process:")
    artifacts = {artifact["key"]: artifact["data"] for artifact in asked(plane, "artifacts") if artifact["key"]}
    shown = artifacts[artifact_key(workspace, "before-after")]
    assert "data:image/jpeg;base64," in shown
    assert len(shown) < 100_000
    assert "v1.0.0" in artifacts[artifact_key(workspace, "decision")]


def test_nothing_changed_runs_nothing(atelier: Atelier, workspace: Path) -> None:
    unchanged = night(atelier, workspace)
    assert unchanged["stages"] == dict.fromkeys(("ingest", "augment", "train", "evaluate"), "unchanged")
    assert unchanged["version"] == "v1.0.0"
    assert "up to date" in dvc(workspace, "repro"), "by hand, as dvc.yaml says, there is nothing to do either"


def test_an_archive_is_restyled_once_and_can_tell_by_what(atelier: Atelier, workspace: Path, tmp_path: Path) -> None:
    from atelier.tasks.storage.sample_images import list_crops, read

    source, restyled = tmp_path / "source" / "trip", tmp_path / "restyled"
    source.mkdir(parents=True)
    for index, crop in enumerate(list_crops("sample://photos")[:3]):
        (source / f"{index}.png").write_bytes(read(crop.name, "sample://photos"))
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff but no picture")
    command = ("stylize", source.parent, restyled, "--model", "style-model@prod", "--workspace", workspace, "--json")
    done = atelier(*command)
    assert done.returncode == 3, done.stderr
    summary = json.loads(done.stdout)
    assert {key: summary[key] for key in ("total", "done", "skipped", "quarantined", "pending")} == {
        "total": 4,
        "done": 3,
        "skipped": 0,
        "quarantined": 1,
        "pending": 0,
    }
    assert "broken.jpg" in (restyled / "_atelier" / "quarantine.csv").read_text()
    (inspected,) = json.loads(atelier("inspect", restyled / "trip" / "0.png", "--json").stdout)
    assert inspected["lineage"]["model"]["version"] == "v1.0.0"

    def state() -> dict[str, tuple[int, bytes]]:
        return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(restyled.rglob("*.png"))}

    before = state()
    again = atelier(*command)
    assert again.returncode == 3
    assert json.loads(again.stdout)["processed"] == 0
    assert state() == before


def test_a_schedule_that_is_none(atelier: Atelier, workspace: Path) -> None:
    done = atelier("retrain", "--cron", "every night", "--workspace", workspace)
    assert done.returncode == 2
    assert "every night" in done.stderr.splitlines()[-1]
