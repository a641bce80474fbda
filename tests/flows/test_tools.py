"""The commands of the page "With the tools you know", each run in a shell as it stands there."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.small import SHRUNK, draw, set_params

Atelier = Callable[..., subprocess.CompletedProcess[str]]
Shell = Callable[..., str]
PAGE = Path(__file__).parents[2] / "docs" / "tools.md"
COMMANDS = [
    command
    for row in re.findall(r"^\| .* \|$", PAGE.read_text(), re.MULTILINE)
    for command in re.findall(r"`((?:prefect|dvc|gto|ray) [^`]+)`", row)
]

# two minutes on an idle machine: each of these programs takes seconds to start
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def home(new_home: Callable[[], Path], atelier: Atelier) -> Iterator[str]:
    """The folder of a control plane with Ray's dashboard."""
    folder = str(new_home())
    up = atelier("up", "--dashboard", ATELIER_HOME=folder)
    assert up.returncode == 0, up.stderr
    yield folder
    atelier("down", ATELIER_HOME=folder)


@pytest.fixture(scope="module")
def shell(
    atelier: Atelier, home: str, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:
    """Run a command of the page in a workspace with a version, whose schedule is served; what it prints."""
    folder = tmp_path_factory.mktemp("tools")
    photos, paintings = draw(folder / "photos", 4, [4, 3], 2), draw(folder / "paintings", 16, [3, 3], 2)
    root = folder / "my-style"
    assert atelier("init", root, "--content", photos, "--style", paintings).returncode == 0
    set_params(root, **SHRUNK, size_px=32, workers=0)
    here = environment | {
        "ATELIER_HOME": home,
        "COLUMNS": "200",
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    }
    night = atelier("retrain", "--workspace", root, ATELIER_HOME=home)
    assert night.returncode == 0, night.stderr
    (root / "program.py").write_text("import ray\nray.init()\nprint('CPUs', ray.cluster_resources()['CPU'])\n")

    def run(command: str, *, code: int = 0) -> str:
        line = f'eval "$(atelier env)" && {command.replace("steps=500", "steps=7")}'
        done = subprocess.run(["bash", "-c", line], cwd=root, env=here, capture_output=True, text=True)
        assert done.returncode == code, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    serve = [str(Path(sys.executable).with_name("atelier")), "retrain", "--cron", "0 2 1 1 *", "--workspace", str(root)]
    server = subprocess.Popen(serve, env=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 180
        while "approve/my-style-approval" not in run("prefect deployment ls"):
            assert time.monotonic() < deadline, "nothing is served"
        yield run
    finally:
        server.terminate()
        server.wait(60)


def test_the_page_has_commands_of_each_tool() -> None:
    assert {command.split()[0] for command in COMMANDS} == {"prefect", "dvc", "gto", "ray"}
    assert len(COMMANDS) > 15


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_works_by_hand(shell: Shell, command: str) -> None:
    shell(command)


def test_their_words_are_of_this_workspace(shell: Shell) -> None:
    assert "v1.0.0" in shell("gto show")
    assert "retrain my-style" in shell("prefect flow-run ls")
    assert "CPU" in shell("ray status")
    assert "CPUs" in shell("ray job submit -- python $PWD/program.py")


def test_a_dashboard_without_the_token_is_closed(shell: Shell) -> None:
    ask = "curl --silent --output /dev/null --write-out '%{http_code}' $RAY_API_SERVER_ADDRESS/api/jobs/"
    assert shell(ask) == "401"
    assert shell(f'{ask} -H "Authorization: Bearer $(cat $RAY_AUTH_TOKEN_PATH)"') == "200"
