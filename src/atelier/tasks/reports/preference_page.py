"""The sheet of blind pairs: one HTML file with a form whose answers are saved as a text file."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from atelier.tasks.evaluation.preference import ANSWERS, Pair, sheet_id
from atelier.tasks.images.codec import Pixels
from atelier.tasks.reports.html_page import data_uri, page, render

SHOWN_PX = 720  # width of a picture on the page, at most
QUALITY = 92  # of JPEG without subsampled colour, which would hide dots


@dataclass(frozen=True)
class ShownPair:
    """The pictures of a pair."""

    number: int
    before: str  # data URIs
    left: str
    right: str


def shown_pair(pair: Pair, before: Pixels, left: Pixels, right: Pixels) -> ShownPair:
    """A pair as the page shows it, of pictures (H, W, 3)."""
    return ShownPair(pair.number, *(data_uri(one, SHOWN_PX, QUALITY) for one in (before, left, right)))


def preference_page(pairs: Sequence[Pair], shown: Sequence[ShownPair]) -> bytes:
    """The page, HTML: it tells nowhere who painted what."""
    template = "preference_page.html.j2"
    lead = render(template, "lead", count=len(pairs))
    form: Markup = render(template, "form", pairs=shown, answers=ANSWERS, sheet=sheet_id(pairs))
    return page("Which do you prefer?", "", lead, {"Pairs": form})
