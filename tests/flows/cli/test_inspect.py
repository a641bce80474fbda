"""What a picture says of itself is told to people, and what a stranger wrote into it moves no terminal."""

from pathlib import Path

import numpy as np

from atelier.flows.cli.inspect import inspect
from atelier.models.card import ModelIdentity
from atelier.tasks.images import provenance
from atelier.tasks.images.codec import encode
from atelier.tasks.images.provenance import Provenance


def test_a_summary_names_everything_and_holds_no_control_characters(tmp_path: Path) -> None:
    model = ModelIdentity("style-model", "v1.2.0", "cpgan", "d" * 64, "e" * 64)
    made = Provenance(model, {"strength": 0.5, "note": "\x1b[2Jgone\x9b\u202e"}, "a" * 64, revision="f" * 40)
    (tmp_path / "a.png").write_bytes(encode(np.zeros((8, 8, 3), np.uint8), "png", xmp=provenance.xmp_packet(made)))
    (tmp_path / "b.png").write_bytes(encode(np.zeros((8, 8, 3), np.uint8), "png"))
    told, silent, missing = inspect([tmp_path / name for name in ("a.png", "b.png", "c\x1b.png")])
    assert told.lineage == made
    for word in ("style-model@v1.2.0, cpgan", "d" * 64, "strength 0.5", "revision " + "f" * 40, "sha256 " + "a" * 64):
        assert word in told.summary
    assert told.summary.replace("\n", "").isprintable()
    assert (silent.lineage, silent.problem) == (None, f"{tmp_path}/b.png does not say that atelier made it")
    assert missing.problem.isprintable()
    assert "does not exist" in missing.problem
