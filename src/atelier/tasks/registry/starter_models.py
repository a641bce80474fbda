"""Starter models: trained models in the package, named `starter/NAME`."""

from dataclasses import dataclass
from pathlib import Path

from atelier.models.card import MODEL_CARD
from atelier.tasks.training.config import STARTER

FOLDER = Path(__file__).parents[2] / "starters"


@dataclass(frozen=True)
class StarterModel:
    """A model of the package."""

    name: str  # "starter/NAME"
    folder: Path
    says: str  # first line of its CARD.md


def list_starters() -> list[StarterModel]:
    """All starter models, by name."""
    found = []
    for folder in sorted(path.parent for path in FOLDER.glob(f"*/{MODEL_CARD}")):
        title = (folder / "CARD.md").read_text(encoding="utf-8").splitlines()[0]
        found.append(StarterModel(STARTER + folder.name, folder, title.removeprefix("# ")))
    return found


def find_starter(name: str) -> Path | None:
    """The folder of `starter/NAME`; None for other names.

    Raises:
        ValueError: there is no starter model of this name.
    """
    if not name.startswith(STARTER):
        return None
    known = {one.name: one.folder for one in list_starters()}
    if name not in known:
        raise ValueError(f"there is no model {name!r}: the package has {', '.join(known) or 'none'}")
    return known[name]
