"""The command `atelier`, run as a person runs it: in a process of its own."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from atelier.flows.control_plane import api_password, prefect_server
from atelier.flows.control_plane.api_password import VARIABLE
from tests.conftest import PRIORITY
from tests.flows.receiver import Service

Atelier = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Path]]:
    """Makes state folders, each with a copy of an empty database, which a server makes in six seconds.

    At the end no control plane may be left in any of them.
    """
    homes: list[Path] = []

    def make() -> Path:
        folder = tmp_path_factory.mktemp("home")
        homes.append(folder)
        with contextlib.suppress(FileNotFoundError):  # of another run, whose folders somebody sweeps
            for database in sorted(tmp_path_factory.getbasetemp().parent.glob("*/home*/prefect-*.db"))[:1]:
                shutil.copy(database, folder)
        return folder

    yield make
    assert [home for home in homes if (home / "control-plane.json").exists()] == [], "`atelier down` is missing"


@pytest.fixture(scope="session")
def environment(new_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which commands meet nobody else's control plane, cluster or encoders, but those that we bring."""
    named = ("PREFECT_", "RAY_", "ATELIER_", "DVC_", "GIT_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(named)}
    return (
        inherited | PRIORITY | {"ATELIER_HOME": str(new_home()), "ATELIER_CACHE": str(tmp_path_factory.mktemp("cache"))}
    )


@pytest.fixture(scope="session")
def atelier(environment: dict[str, str]) -> Atelier:
    """Run `atelier` with arguments; `cwd` and further variables by name."""

    def run(*arguments: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name("atelier")
        return subprocess.run(
            [program, *map(str, arguments)], cwd=cwd, env=environment | variables, capture_output=True, text=True
        )

    return run


@pytest.fixture(scope="package")
def plane(atelier: Atelier) -> Iterator[str]:
    """`atelier up`; the address of Prefect's API."""
    done = atelier("up")
    assert done.returncode == 0, done.stderr
    found = json.loads(atelier("status", "--json").stdout)
    with pytest.MonkeyPatch.context() as patch:
        said = dict(line.removeprefix("export ").split("=", 1) for line in atelier("env").stdout.splitlines())
        patch.setenv(VARIABLE, said[VARIABLE])  # for `small.asked`
        yield found["prefect"]["url"]
    assert atelier("down").returncode == 0


@pytest.fixture(scope="module")
def api(new_home: Callable[[], Path]) -> Iterator[str]:
    """A Prefect server of a module's own, which PREFECT_API_URL names."""
    with pytest.MonkeyPatch.context() as patch:
        home = new_home()
        patch.setenv("ATELIER_HOME", str(home))
        server = prefect_server.start(home / "prefect", 4800)
        try:
            prefect_server.await_ready(server)
            patch.setenv("PREFECT_API_URL", server.url)
            patch.setenv(VARIABLE, api_password.find(home, server.url) or "")
            yield server.url
        finally:
            prefect_server.stop(server)


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    """A server that keeps the messages that it is sent in `Service.messages`."""
    Service.messages = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, args=(0.02,)).start()
    yield server
    server.shutdown()
    server.server_close()
