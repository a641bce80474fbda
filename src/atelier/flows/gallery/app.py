"""The application of the gallery: its pages behind `Access`, and its server on the loopback interface."""

import contextlib
import socket
from collections.abc import Sequence

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from atelier.flows.gallery import datasets, jobs, versions
from atelier.flows.gallery.access import HOSTS, REPORT_POLICY, SIGN_IN, Access, Keys, form, same
from atelier.flows.gallery.commands import COLOURS, ENDS, Commands
from atelier.flows.gallery.paintings import Paintings
from atelier.flows.gallery.site import FRAME, PARTS, RUNS, Gallery, path
from atelier.flows.report import write as write_report
from atelier.tasks.reports.html_page import ASSETS, asset, page, render
from atelier.tasks.runtime.errors import one_line
from atelier.tasks.workspace.layout import Workspace

FIRST_PORT = 4300
REFRESH_S = 2  # of the page of a command that runs


def application(workspace: Workspace, keys: Keys, destinations: Sequence[str] = (), prefect: str = "") -> Access:
    """The gallery of a workspace, as an ASGI application.

    Args:
        destinations: of bulk jobs that lie elsewhere.
        prefect: address of Prefect's pages, "" for no link.
    """
    paintings, commands = Paintings(workspace), Commands(workspace.root, workspace.private / "gallery")
    gallery = Gallery(workspace, keys, paintings, commands, tuple(destinations), prefect)

    async def signed_in(request: Request) -> Response:
        return await _signed_in(request, keys)

    own = [
        Route(SIGN_IN, lambda request: _sign_in(failed=False)),
        Route(SIGN_IN, signed_in, methods=["POST"]),
        Route("/static/{name}", _static),
        Route("/favicon.ico", lambda request: Response(status_code=204)),  # browsers ask for one
        Route("/report", lambda request: _report(workspace)),
        Route("/commands", lambda request: _commands(gallery)),
        Route("/commands/{number:int}", lambda request: _command(gallery, request)),
    ]
    parts = [route for part in (versions, jobs, datasets) for route in part.routes(gallery)]

    def failed(request: Request, error: Exception) -> Response:
        """A page that says what is wrong."""
        known = isinstance(error, HTTPException)
        text = error.detail if isinstance(error, HTTPException) else one_line(error)
        status = error.status_code if isinstance(error, HTTPException) else 500
        shown = {"What is wrong": render(PARTS, "paragraph", text=text)}
        return gallery.page("", "Not found" if known and status == 404 else "It did not work", shown, status=status)

    handlers = dict.fromkeys((HTTPException, OSError, ValueError, RuntimeError), failed)
    return Access(Starlette(routes=[*own, *parts], exception_handlers=handlers), keys)


def serve(application: Access, listening: socket.socket) -> None:
    """Serve on a socket until interrupted."""
    import uvicorn

    config = uvicorn.Config(application, log_level="warning", server_header=False, timeout_graceful_shutdown=2)
    with contextlib.suppress(KeyboardInterrupt):  # which the server sends again when it has ended
        uvicorn.Server(config).run(sockets=[listening])


def listen(port: int | None = None) -> socket.socket:
    """A listening socket on the loopback interface, at a port or the first free one from `FIRST_PORT` on.

    Raises:
        OSError: the port is taken.
    """
    for number in [port] if port else range(FIRST_PORT, FIRST_PORT + 100):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((HOSTS[0], number))
            one.listen()  # a browser that comes before the server waits
            return one
        except OSError:
            one.close()
    raise OSError(f"port {port or FIRST_PORT} of {HOSTS[0]} is taken: name another one with --port")


def _sign_in(*, failed: bool) -> Response:
    content = {"Sign in": render(PARTS, "sign_in", failed=failed)}
    shown = page("Gallery", "", Markup(), content, FRAME, here="", places={}, refresh_s=0)
    return Response(shown, 403 if failed else 200, media_type="text/html")


async def _signed_in(request: Request, keys: Keys) -> Response:
    if not same((await form(request)).get("password", "").strip(), keys.password):
        return _sign_in(failed=True)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(keys.cookie, keys.session, httponly=True, samesite="strict")
    return answer


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in ASSETS:
        raise HTTPException(404, "there is no such file")
    kind = "text/css" if name.endswith(".css") else "text/javascript"
    return Response(asset(name), media_type=kind, headers={"Cache-Control": "private, max-age=600"})


def _report(workspace: Workspace) -> Response:
    return Response(
        write_report(workspace).read_bytes(),
        media_type="text/html",
        headers={"Content-Security-Policy": REPORT_POLICY},
    )


def _commands(gallery: Gallery) -> Response:
    cards = [
        (one.line, path("commands", str(number)), one.ended, COLOURS.get(one.ended, "bad"), ())
        for number, one in gallery.commands.recent
    ]
    lead = "What the buttons of this gallery ran, since it was started." if cards else "No button was pressed yet."
    return gallery.page(RUNS, "Commands", {"Commands": render(PARTS, "cards", found=cards)}, lead=lead)


def _command(gallery: Gallery, request: Request) -> Response:
    number = request.path_params["number"]
    if number >= len(gallery.commands.started):
        raise HTTPException(404, "there is no such command")
    one = gallery.commands.started[number]
    ended = one.ended
    shown = render(PARTS, "output", command=one.line, text=one.output, ended=ended, css_class=COLOURS.get(ended, "bad"))
    return gallery.page(RUNS, "Command", {"Output": shown}, refresh_s=REFRESH_S if ended == ENDS[None] else 0)
