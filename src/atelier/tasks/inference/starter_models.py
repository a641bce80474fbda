"""Models that come with the package, ready to paint: `starter/NAME`."""

from dataclasses import dataclass
from pathlib import Path

from atelier.models.card import MODEL_CARD

PREFIX = "starter/"
FOLDER = Path(__file__).parents[2] / "starters"


@dataclass(frozen=True)
class StarterModel:
    """A model of the package."""

    name: str  # as a person writes it, "starter/NAME"
    folder: Path
    says: str  # the first line of its card


def list_starters() -> list[StarterModel]:
    """All of them, by name."""
    found = []
    for folder in sorted(path.parent for path in FOLDER.glob(f"*/{MODEL_CARD}")):
        title = (folder / "CARD.md").read_text(encoding="utf-8").splitlines()[0]
        found.append(StarterModel(PREFIX + folder.name, folder, title.removeprefix("# ")))
    return found


def find_starter(name: str) -> Path | None:
    """The folder of `starter/NAME`; None where it is no such name.

    Raises:
        ValueError: there is no starter of this name.
    """
    if not name.startswith(PREFIX):
        return None
    known = {one.name: one.folder for one in list_starters()}
    if name not in known:
        raise ValueError(f"there is no model {name!r}: the package has {', '.join(known) or 'none'}")
    return known[name]
