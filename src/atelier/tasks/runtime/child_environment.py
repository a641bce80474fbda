"""Environment of child processes: no code from the current folder, and no proxy before servers of this machine."""

import os
from collections.abc import Mapping
from pathlib import Path

_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def safe_environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables for a child process, and for its own children: those given (None: of this process), made safe.

    Python does not search the folder in which it starts, nor relative folders of PYTHONPATH; relative folders leave
    PATH too. A folder may hold a `json.py` or a `git` of somebody else. Servers of this machine are not behind a proxy.
    """
    safe = dict(os.environ if variables is None else variables)
    safe["PYTHONSAFEPATH"] = "1"
    for name in ("PATH", "PYTHONPATH"):
        if name in safe:  # an empty entry is the current folder
            safe[name] = os.pathsep.join(entry for entry in safe[name].split(os.pathsep) if Path(entry).is_absolute())
    if not safe.get("PYTHONPATH"):
        safe.pop("PYTHONPATH", None)
    for name in ("NO_PROXY", "no_proxy"):
        listed = [host.strip() for host in safe.get(name, "").split(",") if host.strip()]
        safe[name] = ",".join([*listed, *(host for host in _THIS_MACHINE if host not in listed)])
    return safe
