"""The Prefect server and the Ray cluster of a command: those that it finds, or those that `atelier up` would start.

Neither prefect nor ray is imported with this file: both read their environment when they are imported; `use` sets it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from atelier.flows.control_plane import api_password, plane, prefect_server
from atelier.flows.control_plane.prefect_server import home
from atelier.tasks.runtime import cluster


@contextmanager
def use(say: Callable[[str], None] | None = None) -> Iterator[None]:
    """A Prefect server and a Ray cluster, in the environment of this process and its children.

    What the environment names (PREFECT_API_URL, RAY_ADDRESS) is used, and must answer. Else what is up is used. What is
    not up is started as `atelier up` starts it, and stays up when the command has ended. `say` gets a line about what
    was started, and one about what is used unless the environment names all of it.

    Raises:
        ConnectionError: what the environment names does not answer.
        RuntimeError: a server or a cluster did not start.
    """
    named_prefect, named_ray = os.environ.get("PREFECT_API_URL"), os.environ.get("RAY_ADDRESS")
    if named_prefect:
        prefect_server.probe(named_prefect)
    if named_ray:
        cluster.probe(named_ray)
    variables = dict[str, str]()
    if named_prefect and api_password.VARIABLE not in os.environ:
        variables |= api_password.variables(home(), named_prefect)  # where it names our own server
    if not (named_prefect and named_ray):
        running = plane.status() or plane.up()
        if not named_prefect:
            variables |= running.prefect_variables
        if not named_ray:
            variables |= running.ray.environment
        if say and running.started:
            say(f"{running.sentence}; `atelier down` stops what was started")
        if say and (named_prefect or named_ray or not running.started):
            prefect = f"{named_prefect} (PREFECT_API_URL)" if named_prefect else f"{running.ui_url} (atelier up)"
            ray = f"{named_ray} (RAY_ADDRESS)" if named_ray else f"{running.ray_address} (atelier up)"
            say(f"using the Prefect server at {prefect} and the Ray cluster at {ray}")
    with _environment(variables), cluster.disconnect_after():
        yield


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set variables of this process and its children, and put back what was there."""
    before = dict(os.environ)
    os.environ.update(variables)
    if "RAY_AUTH_TOKEN_PATH" in variables:
        os.environ.pop("RAY_AUTH_TOKEN", None)  # it would win over our file
    if api_password.VARIABLE in variables:
        os.environ.pop("PREFECT_API_KEY", None)  # it is for another server
    prefect_server.read_settings()
    try:
        yield
    finally:
        for name in {*variables, "RAY_AUTH_TOKEN", "PREFECT_API_KEY"}:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)
        prefect_server.read_settings()
