"""A PostgreSQL server of the tests' own: real, small, gone with them."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "s3cret-w0rd"


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of an empty database, with its password; the test is skipped where PostgreSQL is not installed."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = str(binaries[-1]) if binaries else shutil.which("initdb")
    if initdb is None:
        pytest.skip("PostgreSQL is not installed: no initdb in /usr/lib/postgresql or on the path")
    # it refuses to run as root
    user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.getuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as name, socket.socket() as held:
        folder = Path(name)
        folder.chmod(0o777)
        held.bind(("127.0.0.1", 0))  # nobody else gets it; PostgreSQL binds it beside us
        port = held.getsockname()[1]
        held.close()
        (folder / "password").write_text(PASSWORD)
        data = str(folder / "data")

        def run(*command: str) -> None:
            subprocess.run([*user, *command], cwd=folder, check=True, capture_output=True, text=True)

        run(initdb, "-D", data, "-U", "keeper", "-A", "scram-sha-256", "--pwfile", str(folder / "password"), "-N")
        control = str(Path(initdb).with_name("pg_ctl"))
        options = f"-p {port} -h 127.0.0.1 -k {folder} -F"
        run(control, "-D", data, "-w", "-o", options, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://keeper:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            run(control, "-D", data, "-m", "immediate", "stop")
