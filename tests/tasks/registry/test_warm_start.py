"""The version that training starts from is pinned: a promotion alone does not train again."""

import json
import re

import pytest

from atelier.models.card import weights_sha256
from atelier.models.configs.style_statistics import CpganConfig
from atelier.tasks.registry.base_models import with_base
from atelier.tasks.registry.promotion import promote
from atelier.tasks.registry.starter_models import find_starter
from atelier.tasks.registry.warm_start import initial_model, pin_start, pinned_start
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.repository import dvc, git


def test_a_version_is_pinned_until_training_has_another_change(own: Workspace) -> None:
    scratch, version, prod = (TrainConfig(start_from=name) for name in ("scratch", "v1.0.0", "prod"))
    assert pin_start(own, scratch) == pinned_start(own) == "scratch"
    assert pin_start(own, version) == pinned_start(own) == "v1.0.0"
    assert pin_start(own, prod) == pinned_start(own) == "v1.1.0"
    known = json.loads(own.start_lock.read_text())
    assert re.fullmatch(r"[0-9a-f]{32}\.dir", known["bytes"]), "equal names of other bytes are another start"
    dvc(own.root, "commit", "--force", "--quiet")
    promote(own, "v1.0.0", reason="softer skies")
    assert pin_start(own, prod) == "v1.1.0", "nothing else has changed"
    own.params.write_text(own.params.read_text().replace("train: {", "train: {seed: 7, "))
    assert pin_start(own, prod) == pinned_start(own) == "v1.0.0"


def test_an_unknown_version_is_refused(own: Workspace) -> None:
    with pytest.raises(ValueError, match=r"no version 'v7\.0\.0'"):
        pin_start(own, TrainConfig(start_from="v7.0.0"))
    own.start_lock.write_text("damaged")
    with pytest.raises(FileNotFoundError, match="atelier train"):
        pinned_start(own)


def test_a_starter_is_pinned_by_its_weights(own: Workspace) -> None:
    config = with_base(TrainConfig())
    assert pin_start(own, config) == pinned_start(own) == "starter/monet"
    folder = find_starter("starter/monet")
    assert folder is not None
    assert initial_model(own, config) == folder
    known = json.loads(own.start_lock.read_text())
    assert known["bytes"] == weights_sha256(folder)
    own.start_lock.write_text(json.dumps(known | {"bytes": "0" * 64}))  # as another version of the package had it
    with pytest.raises(ValueError, match="other weights than this version of Atelier has: `atelier train` pins"):
        pinned_start(own)
    assert pin_start(own, config) == pinned_start(own) == "starter/monet"


def test_an_experiment_of_dvcs_queue_starts_from_a_version_too(own: Workspace) -> None:
    clone = own.root / ".dvc" / "tmp" / "exps" / "tmpx"
    git(own.root, "clone", "--quiet", "--no-tags", str(own.root), str(clone))  # as DVC does
    config = TrainConfig(start_from="v1.0.0", cpgan=CpganConfig(filters=4, blocks=1))
    assert initial_model(Workspace(clone), config) == initial_model(own, config)


def test_a_version_of_another_architecture_is_refused(own: Workspace) -> None:
    fits = TrainConfig(start_from="v1.0.0", cpgan=CpganConfig(filters=4, blocks=1))
    assert initial_model(own, fits) is not None
    with pytest.raises(ValueError, match=r"network of v1\.0\.0, a cpgan model, is not the one that train\.cpgan"):
        initial_model(own, TrainConfig(start_from="v1.0.0"))
