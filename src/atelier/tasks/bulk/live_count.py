"""Live counts: the pictures that workers have painted, of which the states are not recorded yet.

Each worker has a small file beside the crash markers, which it writes about once a second.
"""

import time
import uuid
from contextlib import suppress

from atelier.tasks.storage.destination import Destination

EVERY_S = 1.0
_PREFIX = "count-"


class LiveCount:
    """The count of a worker since its start.

    Args:
        folder: of the crash markers.
    """

    def __init__(self, folder: Destination) -> None:
        self.folder, self.name = folder, f"{_PREFIX}{uuid.uuid4().hex[:12]}"
        self.painted, self.written_at = 0, 0.0

    def add(self, pictures: int) -> None:
        """Count pictures."""
        self.painted += pictures
        if (now := time.monotonic()) - self.written_at >= EVERY_S:
            self.written_at = now
            with suppress(OSError):  # the display is not worth a picture
                self.folder.write_unsynced(self.name, str(self.painted).encode())


def read_counts(folder: Destination) -> int:
    """The pictures that the workers of a job have counted; those of a worker that died may come twice."""
    total = 0
    with suppress(OSError):
        for name in folder.names():
            if name.startswith(_PREFIX):
                with suppress(OSError, ValueError):  # half written
                    total += int(folder.read(name))
    return total
