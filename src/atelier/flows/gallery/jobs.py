"""Pages about bulk jobs: inputs beside outputs, and what went to quarantine and why."""

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from atelier.flows.config.params import Params
from atelier.flows.gallery.access import REPORT_POLICY, form, same
from atelier.flows.gallery.job_view import JobView, open_view
from atelier.flows.gallery.site import JOBS, PAGE_SIZE, PARTS, PICTURE_HEADERS, Gallery, page_number, pages_links, path
from atelier.tasks.images import codec
from atelier.tasks.images.codec import BadImage
from atelier.tasks.inference.output_names import RESERVED
from atelier.tasks.reports.html_page import render
from atelier.tasks.storage.location import is_url
from atelier.tasks.storage.open_destination import open_destination

LONGEST_PX = 640
QUALITY = 90
DEPTH = 4  # of folders below the workspace's restyled pictures that may hold a job
VIEW_S = 5.0  # for which a job is shown as it was: listing a large one takes time
SHOWN = ("done", "quarantined", "skipped", "pending")


class Jobs:
    """The bulk jobs that are shown: those of the workspace, of its subscriptions, and those that a person named."""

    def __init__(self, gallery: Gallery) -> None:
        self.gallery = gallery
        self._views: dict[str, tuple[float, JobView]] = {}

    def find(self) -> dict[str, str]:
        """Locations by the id that addresses have."""
        root = self.gallery.workspace.root
        stylized = self.gallery.workspace.stylized
        patterns = [f"{'*/' * depth}{RESERVED}" for depth in range(DEPTH)]
        places = [str(found.parent) for pattern in patterns for found in sorted(stylized.glob(pattern))]
        for one in Params(self.gallery.workspace.params).subscriptions:
            place = one.destination.rstrip("/")
            folder = open_destination(place if is_url(place) else (root / place).absolute())
            places += [(folder / name).location for name in folder.names() if name.startswith("v")]
        places += self.gallery.destinations
        return {hashlib.sha256(place.encode()).hexdigest()[:12]: place for place in dict.fromkeys(places)}

    def location(self, request: Request) -> str:
        """Where the job is that an address names, or 404."""
        if (place := self.find().get(request.path_params["id"])) is None:
            raise HTTPException(404, "there is no such job")
        return place

    def view(self, place: str) -> JobView:
        """The job at a place. Raises as `open_view`."""
        now = time.monotonic()
        until, view = self._views.get(place, (0.0, None))
        if view is None or now > until:
            view = open_view(place)
            self._views[place] = (time.monotonic() + VIEW_S + (time.monotonic() - now), view)
        return view


def routes(gallery: Gallery) -> list[Route]:
    """The pages about jobs, their pictures and reports, and the button that continues one."""
    jobs = Jobs(gallery)

    def listed(request: Request) -> Response:
        cards = [(place, path("jobs", id), "", "", _lines(place)) for id, place in jobs.find().items()]
        known = {0: "No bulk job", 1: "One bulk job"}.get(len(cards), f"{len(cards)} bulk jobs")
        lead = f"{known}; atelier ui --job DEST shows one that lies elsewhere."
        return gallery.page(JOBS, gallery.workspace.name, {"Jobs": render(PARTS, "cards", found=cards)}, lead=lead)

    def job(request: Request) -> Response:
        return _job(gallery, jobs, request)

    def picture(request: Request) -> Response:
        view, index = jobs.view(jobs.location(request)), request.path_params["index"]
        try:
            pixels = view.before(index) if request.path_params["side"] == "before" else view.after(index)
        except (IndexError, OSError, BadImage) as error:
            raise HTTPException(404, "there is no such picture, or it cannot be read") from error
        pixels = codec.scaled(pixels, min(1.0, LONGEST_PX / max(pixels.shape[:2])))
        data = codec.encode(pixels, "jpeg", quality=QUALITY)
        return Response(data, media_type="image/jpeg", headers=PICTURE_HEADERS)

    def report(request: Request) -> Response:
        try:
            content = (open_destination(jobs.location(request)) / RESERVED).read("report.html")
        except FileNotFoundError as error:
            raise HTTPException(404, "the job has no report yet") from error
        return Response(content, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})

    async def retry(request: Request) -> Response:
        fields = await form(request)
        if not same(fields.get("csrf", ""), gallery.keys.csrf):
            raise HTTPException(403, "the form is of another session: load the page again")
        return RedirectResponse(path("commands", str(gallery.commands.start("retry", jobs.location(request)))), 303)

    return [
        Route("/jobs", listed),
        Route("/jobs/{id}", job),
        Route("/jobs/{id}/pictures/{index:int}/{side}.jpg", picture),
        Route("/jobs/{id}/report", report),
        Route("/jobs/{id}/retry", retry, methods=["POST"]),
    ]


def _job(gallery: Gallery, jobs: Jobs, request: Request) -> Response:
    place = jobs.location(request)
    here = path("jobs", request.path_params["id"])
    try:
        view = jobs.view(place)
    except (OSError, ValueError) as error:
        text = f"{error}. Its report: {here}/report"
        return gallery.page(JOBS, Path(place).name, {"Pictures": render(PARTS, "paragraph", text=text)})
    counts = view.state.counts
    state = request.query_params.get("state", "")
    state = state if state in SHOWN else "done"
    number = page_number(request.query_params.get("page"))
    rows = view.page(state, number, PAGE_SIZE)
    pairs = [
        (f"{here}/pictures/{row['index']}/before.jpg", f"{here}/pictures/{row['index']}/after.jpg", row["input"])
        for row in rows
        if state == "done"
    ]
    table = [(row["input"], row["stage"] or "", row["reason"] or "") for row in rows if state != "done"]
    links = [(f"{counts[one]} {one}", f"{here}?state={one}", one == state) for one in SHOWN]
    waits = counts["quarantined"] + counts["pending"]
    content = render(
        PARTS,
        "job",
        links=[*links, ("report", f"{here}/report", False)],
        pairs=pairs,
        head=("picture", "at", "why"),
        rows=table,
        pages=pages_links(f"{here}?state={state}&page=", number, counts[state]),
        form=gallery.actions([(f"{here}/retry", f"Try {waits} again", "")], {}, reason=False) if waits else Markup(),
    )
    model = f"{view.request.model_name} {view.request.version}".strip()
    return gallery.page(JOBS, Path(place).name, {"Pictures": content}, version=model, lead=place)


def _lines(place: str) -> Sequence[str]:
    """What is known of a job without listing its inputs."""
    try:
        found = json.loads((open_destination(place) / RESERVED).read("summary.json"))
        counts = ", ".join(f"{int(found[name])} {name}" for name in SHOWN)
        return (f"{found['total']} pictures by {found['model']} {found['version']}: {counts}",)
    except (OSError, ValueError, KeyError, TypeError):
        return ("no run of it has ended yet",)
