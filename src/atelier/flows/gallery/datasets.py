"""Pages about versions of the dataset: what came and went from one to the next."""

from pathlib import Path

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from atelier.flows.gallery.site import DATASETS, PARTS, PICTURE_HEADERS, Gallery, path
from atelier.tasks.registry.dataset_diff import DatasetDiff, diff_datasets
from atelier.tasks.registry.dataset_versions import DatasetVersion, list_datasets
from atelier.tasks.registry.dvc_objects import open_objects
from atelier.tasks.reports.html_page import render


def routes(gallery: Gallery) -> list[Route]:
    """The list of datasets, and what changed between two of them."""
    return [
        Route("/datasets", lambda request: _list(gallery)),
        Route("/datasets/{before}/{after}", lambda request: _changes(gallery, request)),
        Route("/datasets/{before}/{after}/pictures.png", lambda request: _sheet(gallery, request)),
    ]


def _list(gallery: Gallery) -> Response:
    with open_objects(gallery.workspace) as kept:
        versions = list_datasets(gallery.workspace, kept)
    cards = []
    for one, before in zip(versions, [*versions[1:], None], strict=True):
        counts = ", ".join(f"{domain} {s['train']} + {s['holdout']} held out" for domain, s in one.rows.items())
        lines = [one.problem or counts, ", ".join(one.models) or "no model yet"]
        address = path("datasets", (before or one).id, one.id)
        cards.append((f"{one.id[:12]}, {one.date[:10]}", address, "now" if one.now else "", "good", lines))
    lead = "Each links to what came and went since the one before it." if cards else "There is no dataset yet."
    return gallery.page(DATASETS, gallery.workspace.name, {"Datasets": render(PARTS, "cards", found=cards)}, lead=lead)


def _changes(gallery: Gallery, request: Request) -> Response:
    old, new, found = _diff(gallery, request)
    if old.id == new.id:
        table = render(PARTS, "changes", head=("", "pictures"), rows=list(found.same.items()), picture="")
        return gallery.page(DATASETS, "The first dataset", {"Pictures": table}, version=new.id[:12])
    rows = [(domain, found.added[domain], found.removed[domain], same) for domain, same in found.same.items()]
    picture = f"{path('datasets', old.id, new.id)}/pictures.png" if found.sheet else ""
    changed = [(name, str(one.before), str(one.after)) for name, one in found.parameters.items()]
    sections = {
        "Pictures": render(PARTS, "changes", head=("", "added", "removed", "the same"), rows=rows, picture=picture),
        "Parameters": render(PARTS, "changes", head=("", "before", "after"), rows=changed, picture="")
        if changed
        else Markup(),
    }
    return gallery.page(DATASETS, "What came and went", sections, version=f"{old.id[:12]} → {new.id[:12]}")


def _sheet(gallery: Gallery, request: Request) -> Response:
    _, _, found = _diff(gallery, request)
    if not found.sheet:
        raise HTTPException(404, "no picture came or went")
    return Response(Path(found.sheet).read_bytes(), media_type="image/png", headers=PICTURE_HEADERS)


def _diff(gallery: Gallery, request: Request) -> tuple[DatasetVersion, DatasetVersion, DatasetDiff]:
    """Two datasets by ids that a browser sent, and how they differ; 404 where there is no such one."""
    with open_objects(gallery.workspace) as kept:
        known = {one.id: one for one in list_datasets(gallery.workspace, kept)}
        try:
            old, new = (known[request.path_params[name]] for name in ("before", "after"))
        except KeyError as error:
            raise HTTPException(404, "there is no such dataset") from error
        sheet = gallery.workspace.reports / "datasets" / f"{old.id[:12]}-{new.id[:12]}.png"
        return old, new, diff_datasets(gallery.workspace, kept, old, new, sheet)
