"""Pages about versions: their history, and one beside another on every held-out and canary picture."""

from collections.abc import Sequence

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from atelier.flows.config.params import Params
from atelier.flows.gallery.access import form, same
from atelier.flows.gallery.site import (
    PAGE_SIZE,
    PARTS,
    PICTURE_HEADERS,
    VERSIONS,
    Gallery,
    page_number,
    pages_links,
    path,
    spread_over,
)
from atelier.tasks.registry.dvc_objects import open_objects
from atelier.tasks.registry.model_details import ListedVersion, list_all_versions
from atelier.tasks.registry.promotion import rollback_targets
from atelier.tasks.registry.tags import (
    MODEL,
    PROD,
    REJECTED,
    Version,
    find_prod,
    list_versions,
    stage_history,
)
from atelier.tasks.registry.version_state import AWAITING, REFUSED, REPLACED, version_state
from atelier.tasks.reports.html_page import render
from atelier.tasks.reports.metrics_table import metrics_table
from atelier.tasks.reports.nightly_section import history_charts

PHOTOGRAPH = "photograph"  # what may stand beside a version
COLOURS = {PROD: "good", AWAITING: "calm", REPLACED: "calm"}
LABELS = {"approve": "Approve", "reject": "Reject", "promote": "Make it prod", "rollback": "Roll back to it"}


def routes(gallery: Gallery) -> list[Route]:
    """The pages about versions, their pictures, and what their buttons do."""

    def history(request: Request) -> Response:
        with open_objects(gallery.workspace) as kept:
            listed = list_all_versions(gallery.workspace, kept)
        return _history(gallery, listed)

    def version(request: Request) -> Response:
        return _compare(gallery, _named(gallery, request), request)

    def picture(request: Request) -> Response:
        shown, found = _named(gallery, request), request.path_params
        pictures = gallery.paintings.pictures(shown)
        if found["key"] not in pictures.data:
            raise HTTPException(404, "there is no such picture")
        if found["by"] == PHOTOGRAPH:
            data = gallery.paintings.photograph(pictures, found["key"])
        else:
            data = gallery.paintings.painted(_version(gallery, found["by"]), pictures, found["key"])
        return Response(data, media_type="image/jpeg", headers=PICTURE_HEADERS)

    async def decide(request: Request) -> Response:
        fields = await form(request)
        if not same(fields.get("csrf", ""), gallery.keys.csrf):
            raise HTTPException(403, "the form is of another session: load the page again")
        return _decide(gallery, request.path_params["what"], fields.get("version", ""), fields.get("reason", ""))

    return [
        Route("/", history),
        Route("/versions/{name}", version),
        Route("/versions/{name}/pictures/{by}/{key}.jpg", picture),
        Route("/decide/{what}", decide, methods=["POST"]),
    ]


def _decide(gallery: Gallery, what: str, name: str, reason: str) -> Response:
    """Run the command of a button, if it is offered for this version now."""
    version = _version(gallery, name)
    if what not in _choices(gallery, version):
        raise HTTPException(409, f"{name} cannot be decided on so: its state has changed, look at it again")
    if not reason.strip():
        raise HTTPException(400, "give a reason: the registry keeps it")
    words = {
        "approve": ("approve", version.version),
        "reject": ("reject", version.name),
        "promote": ("promote", version.name),
        "rollback": ("rollback", version.model, f"--to={version.version}"),
    }[what]
    workspace = f"--workspace={gallery.workspace.root}"
    number = gallery.commands.start("models", *words, f"--reason={reason.strip()}", workspace)
    return RedirectResponse(path("commands", str(number)), 303)


def _choices(gallery: Gallery, version: Version) -> Sequence[str]:
    """What a person may decide about a version, of `LABELS`."""
    state, history = _state(gallery, version), stage_history(gallery.workspace, version.model)
    if state == PROD:
        return ()
    if state == AWAITING:
        return ("approve" if version.model == MODEL else "promote", "reject")
    return ("rollback",) if version.version in rollback_targets(history) else ("promote",)


def _history(gallery: Gallery, listed: Sequence[ListedVersion]) -> Response:
    cards = []
    for one in listed:
        version, state = one.version, one.state
        lines = [f"{version.headline}; dataset {version.dataset[:12]}; {version.registered[:10]}"]
        lines += version.reasons if state == REFUSED else ()
        lines += [f"made prod {at.when[:16].replace('T', ' ')}: {at.reason}" for at in one.history]
        cards.append((version.name, path("versions", version.name), state, COLOURS.get(state, "bad"), lines))
    by_model: dict[str, list[Version]] = {}
    for one in listed:
        by_model.setdefault(one.version.model, []).append(one.version)
    sections = {"History": render(PARTS, "cards", found=cards) if cards else Markup()}
    for model, versions in by_model.items():
        sections[f"{model}, version by version"] = history_charts(versions)
    waiting = [one.version.name for one in listed if one.state == AWAITING]
    lead = f"Awaiting approval: {', '.join(waiting)}." if waiting else "No version awaits approval."
    if not listed:
        lead = "No version is registered yet: atelier retrain makes one."
    return gallery.page(VERSIONS, gallery.workspace.name, sections, lead=lead)


def _compare(gallery: Gallery, version: Version, request: Request) -> Response:
    """A version beside another, or beside the photographs."""
    others = [one for one in list_versions(gallery.workspace, version.model) if one.version != version.version]
    prod = find_prod(others)
    wanted = request.query_params.get("beside") or (prod.version if prod else PHOTOGRAPH)
    beside = next((one for one in others if one.version == wanted), None)
    shown_beside = beside.version if beside else PHOTOGRAPH
    number = page_number(request.query_params.get("page"))
    here = path("versions", version.name)
    besides = [(PHOTOGRAPH, PHOTOGRAPH), *((f"{one.version} {one.stage or ''}".strip(), one.version) for one in others)]
    left = f"{shown_beside} {beside.stage or ''}".strip() if beside else PHOTOGRAPH
    right = version.version if version.stage else f"{version.version} candidate"
    tabs = [(f"beside {label}", f"{here}?beside={name}", label == left) for label, name in besides]
    state = _state(gallery, version)
    choices = _choices(gallery, version)
    buttons = [(f"/decide/{what}", LABELS[what], "bad" if what == "reject" else "good") for what in choices]
    form = gallery.actions(buttons, {"version": version.name}) if buttons else Markup()
    # buttons and pictures are in sight at the same time; only a refusal has few reasons
    above, below = (version.reasons, ()) if state == REFUSED else ((), version.reasons)
    colour = COLOURS.get(state, "bad")
    sections = {"Decision": render(PARTS, "version", state=state, css_class=colour, reasons=above, form=form)}
    try:
        pictures = gallery.paintings.pictures(version)
        for title, names in (("Canary pictures", pictures.canaries), ("Held-out pictures", pictures.held_out)):
            by = [beside.name if beside else PHOTOGRAPH, version.name]
            shown = [
                (*(path("versions", version.name, "pictures", one, f"{key}.jpg") for one in by), names[key])
                for key in spread_over(list(names), number)
            ]
            links = pages_links(f"{here}?beside={shown_beside}&page=", number, len(names))
            of_page = f", {PAGE_SIZE} on a page" if links else ""
            caption = f"{len(names)} pictures{of_page}. Drag the line."
            sections[title] = Markup() if not shown else render(
                PARTS, "compared", pairs=shown, caption=caption, left=left, right=right, beside=tabs, pages=links
            )  # fmt: skip
    except (OSError, RuntimeError, ValueError) as error:  # the rest of the page is useful without pictures
        sections["Pictures"] = render(PARTS, "paragraph", text=str(error))
    if below:
        sections["Reasons"] = render(PARTS, "reasons", reasons=below)
    thresholds = Params(gallery.workspace.params).gate.thresholds
    previous = beside.metrics if beside else {}
    sections["How good it is"] = metrics_table(
        version.metrics, previous, thresholds, beside.version if beside else None
    )
    return gallery.page(VERSIONS, version.model, sections, version=f"{version.version}, {version.style}")


def _state(gallery: Gallery, version: Version) -> str:
    history = [stage_history(gallery.workspace, version.model, stage) for stage in (PROD, REJECTED)]
    return version_state(version, *history)


def _named(gallery: Gallery, request: Request) -> Version:
    return _version(gallery, request.path_params["name"])


def _version(gallery: Gallery, name: str) -> Version:
    """The version with a name that a browser sent: one of those that are there, or 404."""
    model, _, _ = name.partition("@")
    found = [one for one in list_versions(gallery.workspace, model) if one.name == name] if _known(model) else []
    if not found:
        raise HTTPException(404, "there is no such version")
    return found[0]


def _known(model: str) -> bool:
    """Whether a text may be a model's name: it is part of a pattern of tags."""
    return (model == MODEL or model.startswith(f"{MODEL}-")) and all(c.isalnum() or c in "-_" for c in model)
