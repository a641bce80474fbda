"""The password of our Prefect server: in a file of mode 0600 in the state folder, and in the environment of children.

It is never on a command line, which other users of the machine see.
"""

import base64
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from atelier.flows.control_plane.server_program import HOSTS, SIGN_IN
from atelier.tasks.runtime.files import write_secret

VARIABLE = "PREFECT_API_AUTH_STRING"  # of Prefect's clients
_FILE, _PAGE, _GALLERY = "prefect.password", "prefect.html", "gallery.html"


def make(home: Path, url: str) -> str:
    """Make the password of a server that is about to start at this URL, and write it; a restart keeps it."""
    try:
        words = (home / _FILE).read_text().splitlines()[1]
    except (FileNotFoundError, IndexError):
        words = f"atelier:{secrets.token_hex(32)}"
    write_secret(home / _FILE, f"{url}\n{words}\n")
    return words


def find(home: Path, url: str) -> str | None:
    """The password for this URL, None where it is not that of our server."""
    try:
        ours, words = (home / _FILE).read_text().splitlines()
    except (OSError, ValueError):
        return None
    here, there = urlsplit(ours), urlsplit(url)
    return words if there.hostname in HOSTS and (here.port, here.path) == (there.port, there.path.rstrip("/")) else None


def clear(home: Path) -> None:
    """Delete the password, when the server is stopped for good."""
    for name in (_FILE, _PAGE, _GALLERY):
        (home / name).unlink(missing_ok=True)


def variables(home: Path, url: str) -> dict[str, str]:
    """What a client of our server needs in its environment beside the URL; nothing for another server."""
    words = find(home, url)
    return {VARIABLE: words} if words else {}


def sign_in_page(home: Path, url: str) -> Path:
    """Write a page that opens Prefect's pages signed in, readable for its owner alone."""
    words = base64.b64encode((find(home, url) or "").encode()).decode()
    return _page(home / _PAGE, f"{url.removesuffix('/api')}{SIGN_IN}", words)


def gallery_page(home: Path, address: str, words: str) -> Path:
    """Write a page that opens the gallery's page for signing in with a password, readable for its owner alone."""
    return _page(home / _GALLERY, address, words)


def _page(file: Path, address: str, words: str) -> Path:
    """A browser gets the path of this file on its command line, and not the password."""
    target = f"{address}#{words}"
    write_secret(file, f'<!doctype html><title>Atelier</title><script>location.replace("{target}")</script>\n')
    return file


def authorization(home: Path, url: str) -> dict[str, str]:
    """The header for a request to a Prefect server: ours, or the user's with the credentials of the environment."""
    if key := os.environ.get("PREFECT_API_KEY"):
        header = f"Bearer {key}"
    if words := find(home, url) or (None if key else os.environ.get(VARIABLE)):
        header = f"Basic {base64.b64encode(words.encode()).decode()}"
    return {"Authorization": header} if key or words else {}
