"""Commands in a folder of somebody else: modules and settings that lie there do not run."""

import importlib.metadata
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.flows.conftest import Atelier
from tests.flows.small import SHRUNK, draw, set_params

# each with its exit code: 2 where it has to refuse what it is given
_COMMANDS = {
    **dict.fromkeys(("--help", "status", "doctor", "params", "up", "models starters", "models list", "gc"), 0),
    **dict.fromkeys(("encoders list", "ingest --scan", "ingest", "datasets show"), 0),
    **{
        "init here --from demo": 0,
        "models import net.pth out": 2,
        "inspect a.png": 2,
        "generate out --model starter/monet --like a.png": 2,
        "directions starter/monet edits --attribute Smiling": 2,
        "models promote v1.0.0 --reason x": 2,
    },
    **{"stylize a.png b.png --model starter/monet": 0, "stylize pictures out --model starter/monet": 0},
}
_NOBODY = "http://127.0.0.1:9"
_BEHIND_A_PROXY = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"), _NOBODY)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory, atelier: Atelier) -> Path:
    """A workspace full of modules with the names of others, each of which leaves its name in the file `ran`."""
    folder, sources = tmp_path_factory.mktemp("foreign"), tmp_path_factory.mktemp("sources")
    photos, paintings = draw(sources / "photos", 4, [4], 2), draw(sources / "paintings", 16, [4], 2)
    assert atelier("init", folder, "--content", photos, "--style", paintings).returncode == 0
    set_params(folder, **SHRUNK, size_px=32)
    installed = {name for name in importlib.metadata.packages_distributions() if name.isidentifier()}
    names = sorted({*sys.stdlib_module_names, *installed, "atelier", "sitecustomize", "usercustomize"})
    mark = folder / "ran"
    for place in (folder, folder / "pictures"):
        place.mkdir(exist_ok=True)
        for number, name in enumerate(names):
            code = f"open({str(mark)!r}, 'a').write({name + chr(10)!r})\nraise ImportError({name!r})\n"
            file = place / (f"{name}.py" if number % 2 else f"{name}/__init__.py")
            file.parent.mkdir(exist_ok=True)
            file.write_text(code)
        (place / "evil.pth").write_text(f"import os; open({str(mark)!r}, 'a').write('pth')\n")
        log = place / "log.yml"
        log.write_text(
            "version: 1\ndisable_existing_loggers: false\nformatters: {}\nloggers: {}\n"
            f"handlers: {{x: {{'()': subprocess.check_call, args: [touch, {mark}]}}}}\n"
        )
        (place / ".env").write_text(f"PREFECT_LOGGING_SETTINGS_PATH={log}\nPREFECT_API_URL={_NOBODY}/api\n")
        (place / "prefect.toml").write_text(f'[logging]\nconfig_path = "{log}"\n[api]\nurl = "{_NOBODY}/api"\n')
        (place / "pyproject.toml").write_text(f'[tool.prefect.api]\nurl = "{_NOBODY}/api"\n')
    Image.new("RGB", (64, 48), "red").save(folder / "a.png")
    Image.new("RGB", (64, 48), "blue").save(folder / "pictures" / "b.png")
    (folder / "net.pth").write_bytes(b"x")
    return folder


@pytest.mark.parametrize("command", _COMMANDS)
def test_nothing_in_the_current_folder_runs(command: str, foreign: Path, atelier: Atelier, plane: str) -> None:
    done = atelier(*command.split(), cwd=foreign, **_BEHIND_A_PROXY, NO_PROXY="", no_proxy="")
    assert not (foreign / "ran").exists(), (foreign / "ran").read_text()
    assert done.returncode == _COMMANDS[command], done.stderr
    assert "Traceback" not in done.stderr
