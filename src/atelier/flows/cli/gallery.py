"""What `atelier ui` does: serve the gallery, or open Prefect's pages."""

import os
import sys
import webbrowser
from collections.abc import Sequence

from atelier.flows.control_plane import api_password
from atelier.flows.control_plane.prefect_server import home
from atelier.flows.runs.standard_streams import results
from atelier.tasks.storage.location import absolute
from atelier.tasks.workspace.layout import Workspace


def serve(workspace: Workspace, jobs: Sequence[str], port: int | None) -> None:
    """Serve the gallery until interrupted.

    Args:
        jobs: destinations of further bulk jobs.

    Raises:
        OSError: the port is taken.
    """
    import secrets

    from atelier.flows.gallery.access import SIGN_IN, Keys
    from atelier.flows.gallery.app import application, listen
    from atelier.flows.gallery.app import serve as run
    from atelier.flows.runs.services import services

    places = [absolute(one) for one in jobs]
    with services(workspace, "ui"), listen(port) as listening:
        url = os.environ["PREFECT_API_URL"]
        number = listening.getsockname()[1]
        keys = Keys(api_password.find(home(), url) or secrets.token_urlsafe(32), number)
        _open(f"http://127.0.0.1:{number}", SIGN_IN, keys.password)
        run(application(workspace, keys, places, url.removesuffix("/api")), listening)


def open_prefect(url: str) -> None:
    """Open Prefect's pages in a browser, signed in; without a browser print where, and the password."""
    pages, password = url.removesuffix("/api"), api_password.find(home(), url)
    target = api_password.sign_in_page(home(), url).as_uri() if password else pages
    if _has_browser() and webbrowser.open(target):
        print(f"opened {pages}")
    else:
        print(f"open {pages}" + (f" and paste this password: {password}" if password else ""))


def _open(address: str, sign_in: str, password: str) -> None:
    """Open the gallery in a browser, signed in; without a browser print where, and the password."""
    page = api_password.gallery_page(home(), f"{address}{sign_in}", password)
    if _has_browser() and webbrowser.open(page.as_uri()):
        said = f"opened {address}; Ctrl-C ends it"
    else:
        said = f"open {address} and paste this password: {password}; Ctrl-C ends it"
    print(said, file=results(), flush=True)


def _has_browser() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
