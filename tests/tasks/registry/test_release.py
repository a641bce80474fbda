"""Releases with real git, DVC and GTO: registration, promotion, rollback."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from atelier.models.configs.loop import LoopConfig
from atelier.tasks.evaluation.gate import GateConfig
from atelier.tasks.registry import promotion, release, resolve, tags
from atelier.tasks.registry.refusal_advice import next_steps
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.workspace.create import init
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.repository import dvc, git

pytestmark = pytest.mark.long

PARAMS = "ingest: {seed: 0}\naugment: {seed: 0}\ntrain: {seed: 0}\nevaluate: {seed: 0}\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace, _ = init(tmp_path_factory.mktemp("made") / "studio", PARAMS)
    workspace.sources_lock.write_text("pictures\n")
    workspace.start_lock.write_text("scratch\n")
    return workspace


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path) -> Workspace:
    return Workspace(Path(shutil.copytree(made.root, tmp_path / "studio", symlinks=True)))


def paint(workspace: Workspace, weights: str, kid: float = 0.5) -> None:
    """What the stages would write, committed through DVC itself."""
    outputs = {
        workspace.dataset / "dataset.json": "{}",
        workspace.augmented / "dataset.json": "{}",
        workspace.model / "generator.safetensors": weights,
        workspace.model / "model.json": json.dumps({"format": 1, "method": "cpgan", "config": {}, "dataset": "d1"}),
        workspace.training_logs / "metrics.json": "{}",
        workspace.evaluation_pictures / "ssim.csv": "image,ssim\n",
        workspace.evaluation: json.dumps(
            {
                "dataset": "d1", "size_px": 128, "kid": {"metric": "kid_inception", "ratio": kid},
                "style": {"encoder": "inception", "ratio": 0.4}, "ssim": {"mean": 0.6},
                "inversion": {"share": 0.0}, "checkerboard": {"ratio": 1.0}, "repetition": {"share": 0.0},
            }
        ),
    }  # fmt: skip
    for path, text in outputs.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    dvc(workspace.root, "commit", "--force", "--quiet")


def test_a_model_becomes_a_version_once(workspace: Workspace) -> None:
    with pytest.raises(FileNotFoundError, match="atelier retrain"):
        release.release_model(workspace, GateConfig(), None)
    with pytest.raises(ValueError, match="no version of style-model is prod yet"):
        resolve.resolve(workspace, "style-model@prod")
    paint(workspace, "one")
    first = release.release_model(workspace, GateConfig(), None)
    assert (first.version, first.previous, first.decision, first.new) == ("v1.0.0", None, "promoted", True)
    listed = git(workspace.root, "tag")
    again = release.release_model(workspace, GateConfig(), None)
    assert (again.version, again.decision, again.new) == ("v1.0.0", "prod already", False)
    assert git(workspace.root, "tag") == listed
    (entry,) = tags.list_versions(workspace)
    assert (entry.stage, entry.dataset, entry.passed) == ("prod", "d1", True)
    assert entry.headline == "KID ratio 0.5, Style distance ratio 0.4, SSIM 0.6"
    assert git(workspace.root, "status", "--porcelain") == ""


@pytest.mark.parametrize("choice", ["promote", "rollback", "none before", "this one"])
def test_a_choice_of_a_person_after_the_comparison_stays(workspace: Workspace, choice: str) -> None:
    first = "v1.0.0"
    paint(workspace, "one")
    release.register_model(workspace, workspace, GateConfig(), None)
    if choice != "none before":
        promotion.promote(workspace, first, reason="one")
        paint(workspace, "two")
        release.release_model(workspace, GateConfig(), None)
    paint(workspace, "three")
    found = release.register_model(workspace, workspace, GateConfig(), None)
    assert (found.decision, found.compared) == ("passed", "" if choice == "none before" else "v1.1.0")
    # a person decides while the night pushes
    if choice == "rollback":
        assert promotion.rollback(workspace, "green skies") == first
    else:
        chosen = found.version if choice == "this one" else first
        promotion.promote(workspace, chosen, reason="I like it")
    listed, applied = git(workspace.root, "tag"), []
    # in the night itself, after a kill, and in the next night
    for _ in range(2):
        result = release.release_model(workspace, GateConfig(), None)
        assert result.decision == ("prod already" if choice == "this one" else "prod changed meanwhile")
    if choice == "this one":
        promotion.promote(
            workspace, found.version, reason="x", instead_of=found.compared, apply=lambda: applied.append(1)
        )
        assert applied == [1]
    else:
        with pytest.raises(promotion.ProdChanged, match=f"{first} is prod since: a person's choice stays"):
            promotion.promote(
                workspace, found.version, reason="x", instead_of=found.compared, apply=lambda: applied.append(1)
            )
        assert applied == []
        assert "atelier models promote" in result.reasons[0]
    assert git(workspace.root, "tag") == listed
    assert [v.version for v in promotion.list_awaiting_approval(workspace)] == (
        [] if choice == "this one" else [found.version]
    )
    promotion.promote(workspace, found.version, reason="a person may")
    assert resolve.resolve(workspace, "style-model@prod").version == found.version


def test_a_refused_first_model_says_what_to_do(workspace: Workspace) -> None:
    paint(workspace, "one", kid=1.43)
    refused = release.release_model(workspace, GateConfig(), None)
    reason = "kid.ratio is 1.43, it must be at most 0.8 (a first model; 0.6 once a version is prod)"
    assert (refused.decision, refused.reasons) == ("refused", (reason,))
    train = TrainConfig(loop=LoopConfig(steps=60))
    steps = next_steps(refused, workspace.evaluation, train)
    assert [step.split(":")[0] for step in steps] == [
        "more steps", "a base model instead of scratch", "more pictures", "another limit for the models to come",
        "its pictures, to judge by eye", "your own decision",
    ]  # fmt: skip
    assert steps[0].endswith("is 60, try the same command with --set train.loop.steps=500")
    assert "gate.max_kid_ratio" in steps[3]
    with pytest.raises(ValueError, match=r"the gate refused v1\.0\.0 \(kid\.ratio is 1\.43.*models promote v1\.0\.0"):
        resolve.resolve(workspace, "style-model@prod")
    again = release.release_model(workspace, GateConfig(), None)
    assert next_steps(again, workspace.evaluation, train)[0].startswith("a change of pictures or of params.yaml")
    paint(workspace, "two", kid=0.7)
    assert release.release_model(workspace, GateConfig(), None).decision == "promoted"
    longer = replace(train, start_from="starter/paintings", loop=LoopConfig(steps=600))
    assert next_steps(again, workspace.evaluation, longer)[2] == (
        "more steps: train.loop.steps is 600, try the same command with --set train.loop.steps=1200"
    )
    made = json.loads(workspace.evaluation.read_bytes()) | {"kind": "generates"}
    workspace.evaluation.write_text(json.dumps(made))
    copies = replace(refused, reasons=("memorisation.share is 0.4, it must be at most 0.01",))
    steps = next_steps(copies, workspace.evaluation, TrainConfig(method="dcgan", loop=LoopConfig(steps=600)))
    assert steps[1].startswith("pictures learned by heart: more pictures, fewer steps, or train.dcgan.diffaugment")
    assert "`atelier generate FOLDER --model style-model@v1.0.0`" in steps[-2]
    noise = replace(refused, reasons=("means.distance is 5.31, it must be at most 2.5",))
    steps = next_steps(noise, workspace.evaluation, TrainConfig(method="stylegan", loop=LoopConfig(steps=600)))
    assert [step.split(":")[0] for step in steps][:3] == [
        "more pictures", "more steps", "another limit for the models to come",
    ]  # fmt: skip
    assert "gate.max_mean_distance in params.yaml" in steps[2]
    grid = replace(refused, reasons=("checkerboard.ratio is 3.31, it must be at most 2.5",))
    assert [step.split(":")[0] for step in next_steps(grid, workspace.evaluation, train)][:3] == [
        "more steps", "a base model instead of scratch", "more pictures",
    ]  # fmt: skip


def test_a_refused_version_does_not_become_prod_by_itself(workspace: Workspace) -> None:
    paint(workspace, "one")
    release.release_model(workspace, GateConfig(), None)
    paint(workspace, "two", kid=0.7)
    refused = release.release_model(workspace, GateConfig(), None)
    assert (refused.version, refused.decision) == ("v1.1.0", "refused")
    assert release.release_model(workspace, GateConfig(max_kid_ratio=0.9), None).decision == "refused"
    assert resolve.resolve(workspace, "style-model@prod").version == "v1.0.0"
    promotion.promote(workspace, "v1.1.0", reason="I like it")
    assert resolve.resolve(workspace, "style-model@prod").version == "v1.1.0"


def test_a_rollback_stays_and_every_version_stays_loadable(workspace: Workspace) -> None:
    for weights, kid in (("one", 0.5), ("two", 0.45)):
        paint(workspace, weights, kid)
        assert release.release_model(workspace, GateConfig(), None).decision == "promoted"
    promotion.promote(workspace, "v1.0.0", reason="softer skies")
    rolled = release.release_model(workspace, GateConfig(), None)
    assert (rolled.version, rolled.decision, rolled.new) == ("v1.1.0", "registered", False)
    for version, weights in (("prod", "one"), ("v1.1.0", "two"), ("v1.0.0", "one")):
        model = resolve.resolve(workspace, f"style-model@{version}")
        assert (model.path / "generator.safetensors").read_text() == weights
        assert model.dataset == "d1"
    assert sorted(p.name for p in (workspace.models / "style-model").iterdir()) == ["v1.0.0", "v1.1.0"]
    with pytest.raises(ValueError, match=r"no version 'v9\.0\.0'.*v1\.1\.0, v1\.0\.0"):
        promotion.promote(workspace, "v9.0.0", reason="")
    with pytest.raises(ValueError, match="names no model"):
        resolve.resolve(workspace, "model@prod")


def test_killed_between_registering_and_promoting_it_is_promoted_next_time(workspace: Workspace) -> None:
    paint(workspace, "one")
    assert release.register_model(workspace, workspace, GateConfig(), None).decision == "passed"
    assert tags.list_versions(workspace)[0].stage is None
    found = release.release_model(workspace, GateConfig(), None)
    assert (found.decision, found.new) == ("promoted", False)


def test_what_needs_approval_is_promoted_by_a_person_only(workspace: Workspace) -> None:
    paint(workspace, "one")
    manual = GateConfig(mode="manual")
    assert release.release_model(workspace, manual, None).decision == "awaiting approval"
    assert release.release_model(workspace, GateConfig(), None).decision == "awaiting approval"
    assert [v.version for v in promotion.list_awaiting_approval(workspace)] == ["v1.0.0"]
    promotion.promote(workspace, "v1.0.0", reason="I like it")
    assert promotion.list_awaiting_approval(workspace) == []
    assert release.release_model(workspace, GateConfig(), None).decision == "prod already"


def test_what_passed_by_itself_waits_too_where_the_gate_is_manual_by_now(workspace: Workspace) -> None:
    paint(workspace, "one")
    assert release.register_model(workspace, workspace, GateConfig(), None).decision == "passed"
    assert release.release_model(workspace, GateConfig(mode="manual"), None).decision == "awaiting approval"
    assert [v.version for v in promotion.list_awaiting_approval(workspace)] == ["v1.0.0"]
    assert release.release_model(workspace, GateConfig(), None).decision == "promoted"


def test_dry_registers_nothing(workspace: Workspace) -> None:
    paint(workspace, "one")
    assert release.release_model(workspace, GateConfig(mode="dry"), None).decision == "would be promoted"
    strict = GateConfig(mode="dry", max_kid_ratio=0.1, first_leniency=0)
    assert release.release_model(workspace, strict, None).decision == "would be refused"
    assert tags.list_versions(workspace) == []


def test_bytes_that_are_not_there_leave_no_folder(workspace: Workspace) -> None:
    paint(workspace, "one")
    release.release_model(workspace, GateConfig(), None)
    shutil.rmtree(workspace.root / ".dvc" / "cache")
    with pytest.raises(RuntimeError, match="there is no remote"):
        resolve.resolve(workspace, "style-model@prod")
    assert list((workspace.models / "style-model").iterdir()) == []
