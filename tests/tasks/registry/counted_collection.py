"""A collection that is killed at a counted call; it imports little, since it is started a dozen times."""

import os
import signal
import sys
from multiprocessing.connection import Connection

from atelier.tasks.registry.garbage_collection import collect_garbage
from atelier.tasks.workspace.layout import Workspace

PRELOADED = [collect_garbage.__module__, "dvc.repo.index", "scmrepo.git"]


def collect_counted(workspace: Workspace, last: int, calls: Connection) -> None:
    """Send the number of calls by which a collection removes or moves anything; killed at the call `last`."""
    count = 0

    def called(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in ("os.remove", "os.rmdir", "os.rename", "shutil.rmtree"):
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

    sys.addaudithook(called)
    collect_garbage(workspace, keep=2)
    calls.send(count)
