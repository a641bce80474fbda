"""How long work tells the floor above how far it is."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One observation of a running stage. Rates and time left are derived by whoever shows it."""

    stage: str  # "ingest", "augment", "train", "evaluate", "stylize", "pull"
    done: int  # finished units
    total: int  # all units, 0 while unknown
    unit: str  # what is counted: "images", "steps", "MB"
    note: str = ""  # what a person wants to know beside the count, such as "content 1.32  style 0.45"
    images: int = 0  # pictures processed so far, where the unit is not pictures (a step handles a batch)


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Report to nobody."""
