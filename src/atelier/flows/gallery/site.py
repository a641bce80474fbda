"""What all pages of the gallery share: the workspace, the frame of a page, its forms and links."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from atelier.flows.gallery.access import Keys
from atelier.flows.gallery.commands import Commands
from atelier.flows.gallery.paintings import Paintings
from atelier.tasks.reports.html_page import page, render
from atelier.tasks.workspace.layout import Workspace

PARTS = "gallery_parts.html.j2"
FRAME = "gallery.html.j2"
VERSIONS, JOBS, DATASETS, RUNS = "Versions", "Bulk jobs", "Datasets", "Commands"
PAGE_SIZE = 24  # pictures
PICTURE_HEADERS = {"Cache-Control": "private, max-age=600"}


@dataclass(frozen=True)
class Gallery:
    """A workspace, and how its pages are made."""

    workspace: Workspace
    keys: Keys
    paintings: Paintings
    commands: Commands
    destinations: tuple[str, ...] = ()  # of bulk jobs elsewhere
    prefect: str = ""  # address of Prefect's pages
    _addresses: dict[str, str] = field(
        default_factory=lambda: {VERSIONS: "/", JOBS: "/jobs", DATASETS: "/datasets", RUNS: "/commands"}
    )

    def page(
        self,
        here: str,
        title: str,
        sections: Mapping[str, Markup],
        *,
        lead: str = "",
        version: str = "",
        refresh_s: int = 0,
        status: int = 200,
    ) -> Response:
        """A page; `refresh_s` are seconds after which a browser asks for it again, 0 for never."""
        places = self._addresses | {"Report": "/report"}
        if self.prefect:
            places["Prefect"] = self.prefect
        words = render(PARTS, "paragraph", text=lead) if lead else Markup()
        return HTMLResponse(
            page(title, version, words, sections, FRAME, here=here, places=places, refresh_s=refresh_s), status
        )

    def actions(
        self, buttons: Sequence[tuple[str, str, str]], fields: Mapping[str, str], *, reason: bool = True
    ) -> Markup:
        """A form with buttons that run commands: address, label and colour of each."""
        csrf = self.keys.csrf
        return render(PARTS, "actions", buttons=buttons, csrf=csrf, fields=fields, reason=reason)


def pages_links(address: str, number: int, count: int) -> list[tuple[str, str, bool]]:
    """Links to the pages of a list; `address` ends where a page's number goes. None where there is one page."""
    pages = -(-count // PAGE_SIZE)
    near = sorted({1, pages, *range(number - 2, number + 3)} & set(range(1, pages + 1)))
    return [(str(page), f"{address}{page}", page == number) for page in near] if pages > 1 else []


def path(*parts: str) -> str:
    """An address below the root, each part quoted."""
    return "".join(f"/{quote(part, safe='@')}" for part in parts)


def page_number(text: str | None) -> int:
    """The number of a page in an address; 1 for what is none."""
    return int(text) if text and text.isdecimal() and 0 < int(text) < 10**9 else 1


def spread_over(keys: Sequence[str], number: int) -> Sequence[str]:
    """The keys on a page."""
    return keys[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
