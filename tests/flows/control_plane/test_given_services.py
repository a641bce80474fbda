"""A control plane on what is there already: somebody's PostgreSQL, somebody's Ray cluster."""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atelier.flows.control_plane.database import wanted
from atelier.tasks.runtime import cluster, ray_head
from tests.flows.conftest import Atelier
from tests.flows.postgres import PASSWORD, postgres
from tests.flows.small import asked

FLOW = (
    "from atelier.flows.control_plane.session import use\n"
    "with use():\n"
    "    from prefect import flow\n    from atelier.tasks.runtime import cluster\n"
    "    @flow(flow_run_name='hello')\n    def hello():\n        return cluster.connect().address\n"
    "    print(hello())\n"
)


@pytest.fixture(scope="module")
def given(environment: dict[str, str], new_home: Callable[[], Path]) -> Iterator[dict[str, str]]:
    """An environment with a state folder of its own, and a Ray head in it that is not `atelier up`'s."""
    with tempfile.TemporaryDirectory(prefix="at-", dir="/tmp") as folder:
        head = ray_head.start_head(Path(folder), Path(folder) / "ray", cpus=1)
        variables = environment | {"ATELIER_HOME": str(new_home())}
        try:
            ray_head.await_head(head)
            named = head.environment
            del named["RAY_AUTH_TOKEN_PATH"]  # as somebody has it who was told the token
            yield variables | named | {"RAY_AUTH_TOKEN": Path(head.token).read_text()}
        finally:
            ray_head.stop(head)


def without(given: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if not name.startswith("RAY_")}


def files(home: str) -> dict[Path, str]:
    """What is written in a state folder, but for the databases."""
    found = [path for path in Path(home).rglob("*") if path.is_file() and ".db" not in path.name]
    return {path: path.read_text(errors="replace") for path in found}


def test_both_are_used_and_left_as_they_are(given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def atelier(*arguments: str, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        program = Path(sys.executable).with_name("atelier")
        return subprocess.run([program, *arguments], env=env, capture_output=True, text=True, check=False)

    home, later = given["ATELIER_HOME"], without(given)
    with postgres() as url:
        wrong = atelier("up", env=given | {"ATELIER_DATABASE": url.replace(PASSWORD, "wr0ng-w0rd")})
        assert wrong.returncode == 1
        assert "does not let us in (password authentication failed" in wrong.stderr
        assert "wr0ng" not in wrong.stderr + wrong.stdout

        up = atelier("up", env=given | {"ATELIER_DATABASE": url})
        assert up.returncode == 0, up.stderr
        assert "PostgreSQL at 127.0.0.1" in up.stdout
        assert "yours: `atelier down` leaves it" in up.stdout
        try:
            done = subprocess.run([sys.executable, "-c", FLOW], env=later, capture_output=True, text=True, check=False)
            assert done.stdout.strip() == given["RAY_ADDRESS"], done.stderr

            known, end = {"ray": {"cpus": None}}, time.monotonic() + 60
            while known["ray"]["cpus"] is None and time.monotonic() < end:  # a busy machine's Ray may say so late
                status = atelier("status", "--json", env=later)
                known = json.loads(status.stdout)
            assert known["prefect"]["database"].startswith("PostgreSQL at 127.0.0.1")
            assert known["ray"]["cpus"] == [1, 1]
            record = control_plane_of(home)
            os.kill(record["prefect"]["pid"], signal.SIGKILL)
            again = atelier("up", env=later)
            assert again.stdout.startswith("started: Prefect server"), again.stderr
            monkeypatch.setenv("ATELIER_HOME", home)  # whose password `asked` needs
            assert [run["name"] for run in asked(known["prefect"]["url"], "flow_runs")] == ["hello"]

            other = atelier("up", "--database", "postgresql://somebody@127.0.0.1/other", env=later)
            assert other.returncode == 1
            assert "`atelier down` first" in other.stderr
            for secret in (PASSWORD, given["RAY_AUTH_TOKEN"]):
                assert secret not in "".join((up.stdout, status.stdout, again.stdout, up.stderr, again.stderr))
                told = [path for path, text in files(home).items() if secret in text]
                assert [stat.S_IMODE(path.stat().st_mode) for path in told] == [0o600]
        finally:
            down = atelier("down", env=later)
        assert down.stdout.strip() == "stopped the Prefect server"
        cluster.probe(given["RAY_ADDRESS"])
        assert not [text for text in files(home).values() if PASSWORD in text or given["RAY_AUTH_TOKEN"] in text]


def control_plane_of(home: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = json.loads((Path(home) / "control-plane.json").read_text())
    return found


def test_a_cluster_that_does_not_answer_is_told_at_once(atelier: Atelier, tmp_path: Path) -> None:
    done = atelier("up", RAY_ADDRESS="127.0.0.1:9", ATELIER_HOME=str(tmp_path))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no Ray cluster answers at 127.0.0.1:9" in line
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("mysql://u:s3cret@h/d", "postgresql://h", "s3cret", "postgresql://u:s3cret@h:port/d"):
        with pytest.raises(ValueError, match="--database is not the URL of a PostgreSQL database") as refused:
            wanted(url)
        assert "s3cret" not in str(refused.value)
    monkeypatch.setenv("ATELIER_DATABASE", "postgres://u:s3cret@h/d")
    found = wanted(None)
    assert found is not None
    assert (found.url, found.name) == ("postgresql+asyncpg://u:s3cret@h/d", "PostgreSQL at h:5432/d")
    assert "s3cret" not in repr(found)
