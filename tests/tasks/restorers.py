"""Tiny models of restore, which change a picture visibly."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch

from atelier.models import artifact
from atelier.models.methods.restore import Restore
from tests.models.tiny import RESTORE


def save_restorer(folder: Path, scale: int) -> Path:
    """A model folder; one of scale 1 has faults, one that enlarges has none."""
    faults = RESTORE.faults if scale == 1 else ()
    config = replace(RESTORE, scale=cast("Any", scale), faults=faults)
    torch.manual_seed(scale)
    generator = Restore.build_generator(config, None)
    for parameter in generator.tail.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    artifact.save(folder, config, generator, {"dataset": "e" * 64})
    return folder
