"""Versions of models: details, differences, rollback, verification."""

import shutil
from pathlib import Path

import pytest

from atelier.tasks.evaluation.canaries import canaries
from atelier.tasks.evaluation.gate import GateConfig
from atelier.tasks.images.codec import decode
from atelier.tasks.registry.dvc_objects import open_objects, tracked_outputs
from atelier.tasks.registry.model_details import list_all_versions, version_details
from atelier.tasks.registry.model_diff import CELL_PX, diff_models, write_comparison_sheet
from atelier.tasks.registry.promotion import rollback, rollback_targets
from atelier.tasks.registry.release import register_model
from atelier.tasks.registry.resolve import find_version, resolve
from atelier.tasks.registry.tags import PROD, StageAssignment, Version, assign_stage, list_versions
from atelier.tasks.registry.verify import VerifiedVersion, verify_versions
from atelier.tasks.registry.version_state import version_state
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.pipeline import track_folder

MODEL = "style-model"


def verified(workspace: Workspace) -> dict[str, VerifiedVersion]:
    with open_objects(workspace) as kept:
        return {one.version: one for one in verify_versions(workspace, kept, list_versions(workspace))}


def test_details_of_a_version(published: Workspace) -> None:
    with open_objects(published) as kept:
        shown = version_details(published, kept, find_version(published, "prod"))
        refused = version_details(published, kept, find_version(published, "style-model@v1.2.0"))
    assert (shown.listed.version.version, shown.facts["train"]) == ("v1.1.0", {"steps": 102, "seed": 0})
    assert list(shown.formats) == ["ingest", "augment", "train", "evaluate"]
    assert len(shown.commit) == 40
    (staging,) = shown.listed.history
    assert "kid.ratio is 0.45" in staging.reason
    for word in ("style-model@v1.1.0, prod", "gate         passed", "train.steps: 102", "kid.ratio", "by Atelier "):
        assert word in shown.summary
    assert refused.listed.history == ()
    assert "kid.ratio is 0.9, it must be at most 0.6" in refused.summary
    assert "style-model@v1.2.0, refused" in refused.summary
    assert "never was prod" in refused.summary
    plain = shown.as_dict
    assert (plain["version"], plain["stage"], plain["here"], len(plain["history"])) == ("v1.1.0", "prod", True, 1)


def test_two_versions_side_by_side(own: Workspace, tmp_path: Path) -> None:
    old, new = find_version(own, "v1.0.0"), find_version(own, "v1.2.0")
    with open_objects(own) as kept:
        found = diff_models(own, kept, old, new)
        alike = diff_models(own, kept, old, find_version(own, "v1.1.0"))
    assert {name: (one.before, one.after) for name, one in found.parameters.items()} == {"train.steps": (101, 103)}
    assert found.metrics["kid.ratio"].difference == pytest.approx(0.4)
    assert found.dataset is not None
    assert (found.dataset.added["photos"], found.dataset.removed["photos"]) == (4, 4)
    assert (alike.dataset, alike.notes, found.notes) == (None, (), ())
    assert "train.steps: 101 → 103" in found.summary

    pictures = canaries((), own.root, own.dataset, "photos")
    models = [(one.name, resolve(own, one.name).path) for one in (old, new)]
    write_comparison_sheet(pictures, models, tmp_path / "a.png")
    sheet = decode((tmp_path / "a.png").read_bytes())
    pitch = CELL_PX + 4
    assert sheet.shape[0] == 25 + len(pictures) * pitch
    first, second, third = (sheet[30:250, -(3 - c) * pitch : -(2 - c) * pitch - 4 or None] for c in range(3))
    assert first.std() > 20
    assert all((a != b).any() for a, b in ((first, second), (second, third)))


def test_rollbacks_go_to_earlier_versions_only(own: Workspace) -> None:
    with pytest.raises(ValueError, match=r"v1\.2\.0 never was prod"):
        rollback(own, "why not", to="v1.2.0")
    with pytest.raises(ValueError, match=r"v1\.1\.0 is prod already"):
        rollback(own, "again", to="v1.1.0")
    assert rollback(own, "green skies") == "v1.0.0"
    assert find_version(own, "prod").version == "v1.0.0"
    with pytest.raises(ValueError, match=r"no version of style-model was prod before v1\.0\.0"):
        rollback(own, "further")
    assert rollback(own, "it was the lamp", to="v1.1.0") == "v1.1.0"
    with open_objects(own) as kept:
        listed = {one.version.version: [s.reason for s in one.history] for one in list_all_versions(own, kept)}
    assert (listed["v1.1.0"][-1], listed["v1.0.0"][-1]) == ("it was the lamp", "green skies")


def test_states_of_versions() -> None:
    def of(name: str, *history: str, passed: bool = True) -> str:
        stage = PROD if history and history[-1] == name else None
        version = Version(MODEL, name, stage, "", "", "", passed, False, (), {}, "")
        return version_state(version, [StageAssignment(one, "", "") for one in history])

    assert (of("1"), of("1", passed=False)) == ("awaiting", "refused")
    assert of("1", "1", passed=False) == "prod", "a person may overrule the gate"
    assert (of("1", "1", "2"), of("2", "1", "2"), of("3", "1", "2")) == ("replaced", "prod", "awaiting")
    assert (of("2", "1", "2", "1"), of("1", "1", "2", "1")) == ("rolled back", "prod")


def test_rollback_targets() -> None:
    def of(*versions: str) -> list[str]:
        return rollback_targets([StageAssignment(version, "", "") for version in versions])

    assert of("1") == []
    assert of("1", "2", "3") == ["1", "2"]
    assert of("1", "2", "3", "2") == ["1"], "what was rolled back is not gone back to"
    assert of("1", "2", "3", "2", "4") == ["1", "2"]
    assert of("1", "1") == []


def test_no_rollback_to_missing_bytes(own: Workspace) -> None:
    shutil.rmtree(own.root / ".dvc" / "cache")
    with pytest.raises(RuntimeError, match=r"the bytes of style-model@v1\.0\.0"):
        rollback(own, "green skies")
    assert find_version(own, "prod").version == "v1.1.0"


def test_a_version_that_is_complete(own: Workspace) -> None:
    resolve(own, "style-model@v1.1.0")
    found = verified(own)
    assert {name: one.problems for name, one in found.items()} == {f"{MODEL}@v1.{n}.0": () for n in range(3)}
    # card and shards of the dataset, the training set's card, the model's two files, the log, the evaluation's table;
    # and the five folders
    assert found["style-model@v1.0.0"].files == 7 + 1 + 2 + 1 + 1 + 5


def test_what_is_missing_or_damaged_is_reported_exactly(own: Workspace) -> None:
    folder = resolve(own, "style-model@v1.1.0").path
    versions = {one.version: one for one in list_versions(own)}
    with open_objects(own) as kept:
        weights = kept.path(kept.files(versions["v1.0.0"].bytes)["generator.safetensors"])
        card = kept.path(kept.files(tracked_outputs(own, versions["v1.2.0"])["data/dataset"])["dataset.json"])
        listing = kept.path(tracked_outputs(own, versions["v1.2.0"])["reports/training"])
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(data)
    card.unlink()
    listing.unlink()
    (folder / "model.json").chmod(0o644)
    (folder / "model.json").write_text("{}")
    (folder / "extra").touch()
    found = verified(own)
    (one,) = found["style-model@v1.0.0"].problems
    assert one.startswith(f"artifacts/style-model/generator.safetensors: damaged in the cache: delete {weights}")
    assert sorted(problem.split(":")[0] for problem in found["style-model@v1.2.0"].problems) == [
        "data/dataset/dataset.json",
        "reports/training",
    ]
    assert all("missing: " in problem for problem in found["style-model@v1.2.0"].problems)
    assert [problem.partition(": delete ")[0] for problem in found["style-model@v1.1.0"].problems] == [
        f"{folder / 'extra'}: does not belong there",
        f"{folder / 'model.json'}: damaged",
    ]
    with open_objects(own) as kept:
        here = {one.version.version: one.here for one in list_all_versions(own, kept)}
    assert here == {"v1.0.0": True, "v1.1.0": True, "v1.2.0": True}, "a list does not read bytes"


def test_the_model_of_a_style(own: Workspace) -> None:
    name = "style-model-inks"
    shutil.copytree(own.model, own.model_folder(name))
    (own.model_folder(name) / "samples.png").write_bytes(b"inks")
    track_folder(own, own.model_folder(name))
    metrics = own.style_reports(name) / "evaluation.json"
    metrics.parent.mkdir(parents=True)
    metrics.write_text(own.evaluation.read_text())
    register_model(own, own, GateConfig(), None, name)
    one = find_version(own, f"{name}@v1.0.0")
    with open_objects(own) as kept:
        assert set(tracked_outputs(own, one)) == {"data/dataset", "data/augmented", f"artifacts/{name}"}
        (found,) = verify_versions(own, kept, [one])
        assert (found.whole, found.files) == (True, 3 + 7 + 1 + 3)
        kept.path(kept.files(one.bytes)["samples.png"]).unlink()
        (found,) = verify_versions(own, kept, [one])
        assert [problem.split(":")[0] for problem in found.problems] == [f"artifacts/{name}/samples.png"]
        assert [(v.version.name, v.here) for v in list_all_versions(own, kept)][-1] == (one.name, False)
    with pytest.raises(ValueError, match="no version of style-model-inks is prod yet"):
        rollback(own, "why", name)


def test_a_stage_tag_that_atelier_did_not_write(own: Workspace) -> None:
    assign_stage(own, MODEL, "v1.2.0", "trial", "have a look")
    assert find_version(own, "prod").version == "v1.1.0"
    with open_objects(own) as kept:
        assert next(one.history for one in list_all_versions(own, kept)) == ()
