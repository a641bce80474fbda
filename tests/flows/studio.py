"""A small workspace with sources and a subscribed archive, and its nights."""

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atelier.tasks.registry.tags import find_prod, list_versions
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.repository import git
from tests.flows.conftest import Atelier
from tests.flows.small import SHRUNK, draw, set_param, set_params

EVERY_KEY = Path(__file__).parent / "config" / "before.yaml"


@dataclass
class Studio:
    """A workspace, its sources, and an archive that is subscribed."""

    root: Path
    photos: Path
    archive: Path
    restyled: Path
    atelier: Atelier = field(repr=False)

    def night(self, *options: str, code: int = 0, chat: str = "") -> dict[str, Any]:
        """A night that ends with this exit code; its record."""
        self.run(*options, code=code, chat=chat)
        assert self.record["problems"] == []
        return self.record

    def run(self, *options: str, code: int = 0, chat: str = "") -> subprocess.CompletedProcess[str]:
        """`atelier retrain`, which ends with this exit code."""
        told = {"TEAM_CHAT": chat} if chat else {}
        done = self.atelier("retrain", *options, "--workspace", self.root, "--json", **told)
        assert done.returncode == code, done.stderr + done.stdout
        return done

    @property
    def record(self) -> dict[str, Any]:
        """The record of the last night."""
        found: dict[str, Any] = json.loads((self.root / ".atelier/last-night/night.json").read_text())
        return found

    def snapshot(self) -> dict[str, Any]:
        """All that a night which does not pass must leave as it was."""
        tracked = git(self.root, "ls-files", "-z").split("\0")
        return {
            "head": git(self.root, "rev-parse", "HEAD"),
            "files": {name: (self.root / name).read_bytes() for name in tracked if name and name != "params.yaml"},
            "model": (self.root / "artifacts/style-model/generator.safetensors").read_bytes(),
            "prod": self.prod,
            "current": os.readlink(self.restyled / "current"),  # noqa: PTH115
        }

    @property
    def prod(self) -> str:
        prod = find_prod(list_versions(Workspace(self.root)))
        assert prod
        return prod.version

    def learn_anew(self, seed: int) -> None:
        """Have the next night train another model."""
        set_param(self.root, "train.loop.seed", seed)


def new_studio(atelier: Atelier, folder: Path, **parameters: object) -> Studio:
    """A workspace of tiny pictures, with a params.yaml of every key, as older versions wrote it."""
    photos, paintings = draw(folder / "photos", 4, [4, 4], 3), draw(folder / "paintings", 16, [4, 4], 3)
    archive, root = draw(folder / "archive", 9, [1], 1), folder / "studio"
    assert atelier("init", root, "--content", photos, "--style", paintings).returncode == 0
    text = EVERY_KEY.read_text().replace("sample://photos", str(photos)).replace("sample://paintings", str(paintings))
    (root / "params.yaml").write_text(text)
    set_params(root, **SHRUNK, size_px=32, workers=0, canary_tolerance=1000.0, **parameters)
    set_params(root, subscriptions=f"[{{source: {archive}, destination: {folder / 'restyled'}}}]")
    git(root, "commit", "--quiet", "--all", "--message", "our parameters")
    return Studio(root, photos, archive, folder / "restyled", atelier)
