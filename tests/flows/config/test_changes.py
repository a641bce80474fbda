"""Changes of params.yaml from the command line."""

from pathlib import Path

import pytest

from atelier.flows.config.changes import set_parameters
from atelier.flows.config.defaults import demo_params
from atelier.flows.config.params import Params


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(demo_params())
    return path


def test_values_change_and_comments_stay(file: Path) -> None:
    before = file.read_text()
    steps = Params(file).train.loop.steps
    said = set_parameters(file, ["train.loop.steps=7", "ingest.domains.photos=[a, b]", "gate.mode=manual"])
    assert said[0] == f"params.yaml: train.loop.steps is 7, was {steps}"
    params = Params(file)
    assert (params.train.loop.steps, params.ingest.domains["photos"], params.gate.mode) == (7, ("a", "b"), "manual")
    after = file.read_text()
    changed = [line for line in before.splitlines() if line not in after.splitlines()]
    assert [line.split(":")[0].strip() for line in changed] == ["photos", "steps", "mode"]
    assert "steps: 7" in after
    assert "# updates of the generator" in after


def test_the_same_value_leaves_the_file(file: Path) -> None:
    before = file.read_text(), file.stat().st_mtime_ns
    assert set_parameters(file, [f"train.loop.steps={Params(file).train.loop.steps}"]) == []
    assert (file.read_text(), file.stat().st_mtime_ns) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.loop.stepps=7", "did you mean 'steps'"),
        ("trian.loop.steps=7", "did you mean 'train'"),
        ("train.loop.steps=-1", "train.loop.steps"),
        ("train.loop.steps=[", "the value is not YAML"),
        ("train.loop.steps", "write it as KEY=VALUE"),
        ("steps=7", "write it as KEY=VALUE"),
        ("train.method.name=7", "method is no section, it has the value"),
    ],
)
def test_a_wrong_change_changes_nothing(file: Path, change: str, message: str) -> None:
    before = file.read_text()
    with pytest.raises(ValueError, match=message):
        set_parameters(file, ["gate.mode=manual", change])
    assert file.read_text() == before
