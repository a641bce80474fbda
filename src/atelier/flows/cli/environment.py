"""The variables by which `prefect`, `ray`, `dvc` and `gto` work by hand as they do in commands: `atelier env`."""

import os
from typing import Any

from atelier.flows.control_plane.plane import ControlPlane, status
from atelier.tasks.runtime.processes import dvc_state_folder, environment

RAY = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_API_SERVER_ADDRESS")
PREFECT = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY")


def by_hand() -> dict[str, Any]:
    """The variables of the server and the cluster that are used, of DVC's state, and the path of the programs.

    Raises:
        ConnectionError: nothing is up, and the environment names none.
    """
    ray = _named(RAY) if "RAY_ADDRESS" in os.environ else _plane().ray.environment
    places = {"DVC_SITE_CACHE_DIR": dvc_state_folder(), "PATH": environment()["PATH"]}
    return prefect_api() | ray | places


def prefect_api() -> dict[str, str]:
    """The variables of the Prefect server that commands use. Raises ConnectionError as `by_hand`."""
    return _named(PREFECT) if "PREFECT_API_URL" in os.environ else _plane().prefect_variables


def _named(names: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}


def _plane() -> ControlPlane:
    if plane := status():
        return plane
    raise ConnectionError("nothing of atelier's is up: `atelier up` starts it")
