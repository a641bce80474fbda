"""The version that training starts from is pinned: a promotion alone does not train again."""

import json
import re

import pytest

from atelier.tasks.registry.promotion import promote
from atelier.tasks.registry.warm_start import pin_start, pinned_start
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.repository import dvc


def test_a_version_is_pinned_until_training_has_another_change(own: Workspace) -> None:
    assert pin_start(own, "scratch") == pinned_start(own) == "scratch"
    assert pin_start(own, "v1.0.0") == pinned_start(own) == "v1.0.0"
    assert pin_start(own, "prod") == pinned_start(own) == "v1.1.0"
    known = json.loads(own.start_lock.read_text())
    assert re.fullmatch(r"[0-9a-f]{32}\.dir", known["bytes"]), "equal names of other bytes are another start"
    dvc(own.root, "commit", "--force", "--quiet")
    promote(own, "v1.0.0", reason="softer skies")
    assert pin_start(own, "prod") == "v1.1.0", "nothing else has changed"
    own.params.write_text(own.params.read_text().replace("train: {", "train: {seed: 7, "))
    assert pin_start(own, "prod") == pinned_start(own) == "v1.0.0"


def test_an_unknown_version_is_refused(own: Workspace) -> None:
    with pytest.raises(ValueError, match=r"no version 'v7\.0\.0'"):
        pin_start(own, "v7.0.0")
    own.start_lock.write_text("damaged")
    with pytest.raises(FileNotFoundError, match="atelier train"):
        pinned_start(own)
