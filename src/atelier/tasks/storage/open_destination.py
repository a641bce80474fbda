"""The destination at a path or URL."""

from pathlib import Path

from atelier.tasks.storage.destination import Destination
from atelier.tasks.storage.local_folder import LocalFolder
from atelier.tasks.storage.location import is_url


def open_destination(where: str | Path | Destination) -> Destination:
    """The destination at a path or URL. Raises ValueError for a URL that is chained or of another scheme."""
    if isinstance(where, Destination):
        return where
    if is_url(str(where)):
        from atelier.tasks.storage.object_store import ObjectStore

        return ObjectStore(str(where))
    return LocalFolder(Path(where))
