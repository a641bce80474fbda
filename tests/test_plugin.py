"""A method of another package trains, paints and is loaded like one of ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from atelier.flows.cli.services import params
from atelier.flows.config.params import Params
from atelier.models.card import ModelCard
from atelier.models.configs import CONFIGS, config_class
from atelier.tasks.training.config import TrainConfig, train_config_class
from tests.plugin import install_plugin
from tests.tasks.training.test_train import make_training_set

pytestmark = pytest.mark.long

PARAMS = """
train:
  method: tint
  encoder: efficientnet_lite0
  workers: 0
  loop: {steps: 6, batch_size: 2, log_every: 1, checkpoint_every: 3, sample_every: 3, precision: float32}
  tint: {mean_weight: 2.0}
"""
DRIVER = """
import pickle, sys
from pathlib import Path
import cloudpickle, numpy as np
from atelier import load
from atelier.flows.config.params import Params
from atelier.tasks.runtime.progress import silent
from atelier.tasks.training.train import train

data, work = map(Path, sys.argv[1:])
config = Params(work / "params.yaml").train
assert pickle.loads(cloudpickle.dumps(config)).facts() == config.facts()
summary = train(config, data, work / "model", work / "checkpoints", work / "logs", silent)
assert summary.steps == 6
image = np.full((20, 30, 3), 90, np.uint8)
assert not np.array_equal(load(work / "model")(image), image)
assert np.array_equal(load(work / "model", strength=0.0)(image), image)
try:
    load(work / "model", to=["warm"])
except ValueError as error:
    assert "tint has no control 'to': it has strength" in str(error)
"""


def test_it_trains_and_paints_like_the_methods_of_the_package(tmp_path: Path) -> None:
    data, plugin = make_training_set(tmp_path / "augmented"), install_plugin(tmp_path / "plugin")
    (tmp_path / "params.yaml").write_text(PARAMS)
    path = os.pathsep.join([str(plugin), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(data), str(tmp_path)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "model" / "model.json").read_bytes())
    assert content["method"] == "tint"
    assert content["config"]["mean_weight"] == 2.0
    assert content["train"]["tint"] == content["config"]
    assert not content["train"].keys() & CONFIGS.keys(), "settings of other methods do not name a run"
    with pytest.raises(ValueError, match="method 'tint' is unknown to this version"):
        ModelCard.read(tmp_path / "model")


class TestErrors:
    @pytest.fixture(autouse=True)
    def plugin(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = install_plugin(tmp_path / "plugin")
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, "atelier_tint", raising=False)
        return folder

    def test_what_there_is_is_named(self) -> None:
        with pytest.raises(ValueError, match=r"method 'tin' is unknown to this version \(known: adain, .*, tint\)$"):
            config_class("tin")

    @pytest.mark.parametrize(
        ("section", "message"),
        [
            ("{method: tin}", "there is no method 'tin' to train: choose one of adain, .*, stargan"),
            ("{method: imported}", "there is no method 'imported' to train"),
            ("{method: tint, tint: {mean: 1}}", "unknown key train.tint.mean: did you mean 'mean_weight'"),
            ("{method: tint, tint: {mean_weight: -1}}", r"train\.tint\.mean_weight must be at least 0 .it is -1."),
            ("{tynt: {mean_weight: 1}}", "unknown key train.tynt"),
        ],
    )
    def test_parameters(self, tmp_path: Path, section: str, message: str) -> None:
        (tmp_path / "params.yaml").write_text(f"train: {section}\n")
        with pytest.raises(ValueError, match=message):
            _ = Params(tmp_path / "params.yaml").train

    def test_its_settings_are_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        params("train.tint")
        printed = capsys.readouterr().out
        assert printed.startswith("train:\n  tint:  # settings of tint\n    mean_weight: 1.0  # weight of the channels")

    def test_settings_of_a_method_that_is_not_chosen(self, tmp_path: Path) -> None:
        (tmp_path / "params.yaml").write_text("train: {tint: {mean_weight: 3}}\n")
        config = Params(tmp_path / "params.yaml").train
        assert config.facts() == TrainConfig().facts()
        assert train_config_class({}) is train_config_class(None) is TrainConfig

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("atelier_tint:Nothing", "'tint' of atelier_tint:Nothing cannot be imported"),
            ("nowhere:Tint", "'tint' of nowhere:Tint cannot be imported"),
            ("atelier_tint:TintConfig", "is no method 'tint': it needs a Config"),
        ],
    )
    def test_a_registration_that_leads_nowhere(self, plugin: Path, value: str, message: str) -> None:
        (file,) = plugin.glob("*.dist-info/entry_points.txt")
        file.write_text(f"[atelier.methods]\ntint = {value}\n")
        with pytest.raises(ValueError, match=message):
            config_class("tint")
