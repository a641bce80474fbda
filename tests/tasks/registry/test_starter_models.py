"""Every starter model loads, paints, is small, and has a card."""

from pathlib import Path

import pytest
import torch

from atelier.models import artifact
from atelier.tasks.registry.starter_models import FOLDER, find_starter, list_starters


def test_there_are_some_and_all_are_whole() -> None:
    found = list_starters()
    assert {"starter/any-style", "starter/monet", "starter/paintings"} <= {one.name for one in found}
    assert {one.folder for one in found} == {path for path in FOLDER.iterdir() if path.is_dir()}


@pytest.mark.parametrize("folder", sorted(path.parent for path in FOLDER.glob("*/model.json")), ids=lambda f: f.name)
def test_a_starter_paints_is_small_and_has_a_card(folder: Path) -> None:
    assert (folder / "generator.safetensors").stat().st_size < 4_000_000
    card = (folder / "CARD.md").read_text(encoding="utf-8")
    assert card.startswith("# ")
    for heading in ("## Trained on", "## Measured", "## Limits"):
        assert heading in card
    picture = torch.randint(0, 256, (1, 3, 60, 85), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    trained = artifact.load(folder)
    painted = trained.painter()(picture)
    scale = trained.config.scale
    assert painted.shape == (1, 3, 60 * scale, 85 * scale)
    assert (painted[:, :, ::scale, ::scale].float() - picture.float()).abs().mean() > 5


def test_names_are_found_or_refused() -> None:
    assert find_starter("starter/monet") == FOLDER / "monet"
    assert find_starter("style-model@prod") is None
    with pytest.raises(ValueError, match=r"there is no model 'starter/mone': the package has .*starter/monet"):
        find_starter("starter/mone")
