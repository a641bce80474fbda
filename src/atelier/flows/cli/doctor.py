"""The checks of `atelier doctor`: what this machine has and what is missing, with a remedy.

Nothing heavy is imported here: packages are imported in a separate process, so that a broken one is a finding.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psutil

from atelier.tasks.runtime import cluster
from atelier.tasks.runtime.child_environment import safe_environment
from atelier.tasks.runtime.errors import one_line
from atelier.tasks.workspace.layout import Workspace

Status = Literal["ok", "warn", "fail"]

_IMPORTS = (
    *("torch", "numpy", "safetensors", "ray.data", "ray.train", "pyarrow", "dvc.repo", "gto.api", "prefect"),
    *("pydantic", "PIL.Image", "cv2", "kornia", "skimage", "sklearn", "imagehash", "tensorboard", "typer", "rich"),
)
# with a newer fastapi Prefect's server does not start; with a newer sqlalchemy it creates no scheduled run, silently
_BELOW = {"fastapi": (0, 151), "sqlalchemy": (2, 1)}
_INSTALL = "install the pinned set: pip install -c constraints.txt -e ."
_DISK_GB = (5, 1)  # recommended, minimum; the demo needs 5
_MEMORY_GB = (4, 2)


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    status: Status
    what: str
    remedy: str = ""  # what to do if it is not "ok"


def examine(workspace: Workspace | None = None) -> list[Check]:
    """The findings of all checks, also of a workspace's disk and pipeline; an error in a check is a finding too."""
    where = workspace.root if workspace else Path.cwd()
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("python", _python),
        ("packages", _packages),
        ("versions", _versions),
        ("git", lambda: _program("git", ["git", "--version"], "install git, 2.28 or newer")),
        ("dvc", lambda: _program("dvc", [sys.executable, "-m", "dvc", "version"], _INSTALL)),
        ("prefect", _prefect),
        ("ray", _ray),
        ("gpu", _gpu),
        ("disk", lambda: _disk(where)),
        ("memory", _memory),
        ("encoders", _encoders),
    ]
    if workspace:
        checks.append(("workspace", lambda: _workspace(workspace)))
    found = []
    for name, check in checks:
        try:
            found.append(check())
        except Exception as error:  # noqa: BLE001 - the next check runs all the same
            found.append(Check(name, "fail", one_line(error), _INSTALL))
    return found


def _python() -> Check:
    what = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs"
    if sys.platform != "linux":
        return Check("python", "warn", what, "only Linux is tested; elsewhere stages may outlive a killed command")
    return Check("python", "ok", what)


def _packages() -> Check:
    words = (
        f"import importlib\nfor name in {_IMPORTS!r}:\n    try:\n        importlib.import_module(name)\n"
        "    except Exception as error:\n        print(name, str(error)[:80].replace(chr(10), ' '), sep=': ')\n"
    )
    done = _run([sys.executable, "-W", "ignore", "-c", words], timeout_s=120)
    if done.returncode:
        return Check("packages", "fail", f"Python died importing them (exit code {done.returncode})", _INSTALL)
    if broken := done.stdout.strip().splitlines():
        return Check("packages", "fail", "; ".join(broken), _INSTALL)
    return Check("packages", "ok", f"{len(_IMPORTS)} packages import; torch {version('torch')}")


def _versions() -> Check:
    wrong = []
    for name, limit in _BELOW.items():
        try:
            parts = version(name).split(".")
        except PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        if (int(parts[0]), int(parts[1])) >= limit:
            wrong.append(f"{name} {version(name)} breaks Prefect's server, it must be below {limit[0]}.{limit[1]}")
    if wrong:
        return Check("versions", "fail", "; ".join(wrong), _INSTALL)
    return Check("versions", "ok", ", ".join(f"{name} {version(name)}" for name in _BELOW))


def _program(name: str, command: list[str], remedy: str) -> Check:
    done = _run(command, timeout_s=60)
    if done.returncode:
        return Check(name, "fail", f"{name} does not work: {(done.stderr.strip().splitlines() or ['?'])[-1]}", remedy)
    return Check(name, "ok", done.stdout.splitlines()[0])


def _run(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run a program outside the current folder: DVC and Prefect would read settings there."""
    return subprocess.run(
        command, cwd=sys.prefix, env=safe_environment(), capture_output=True, text=True, check=False, timeout=timeout_s
    )


def _prefect() -> Check:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return Check("prefect", "ok", f"prefect {version('prefect')}; PREFECT_API_URL is not set")
    parts = urlsplit(url)
    if not cluster.accepts_connections(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)):
        return Check("prefect", "fail", f"nothing answers at PREFECT_API_URL {url}", "start that server, or unset it")
    return Check("prefect", "ok", f"prefect {version('prefect')}; a server answers at {url}")


def _ray() -> Check:
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return Check("ray", "ok", f"ray {version('ray')}; RAY_ADDRESS is not set")
    try:
        cluster.probe(address)
    except (ConnectionError, ValueError) as error:
        return Check("ray", "fail", str(error), "start that cluster, or unset RAY_ADDRESS")
    if os.environ.get("RAY_AUTH_MODE") != "token":
        remedy = "start it with RAY_AUTH_MODE=token: whoever reaches its ports runs code as its owner"
        return Check("ray", "warn", f"the Ray cluster at {address} asks for no token", remedy)
    return Check("ray", "ok", f"ray {version('ray')}; a cluster answers at {address}")


def _gpu() -> Check:
    program = shutil.which("nvidia-smi")
    if program is None:
        return Check("gpu", "ok", "none; training and stylizing use the CPUs")
    query = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = _run(query, timeout_s=30)
    found = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode or not found:
        return Check("gpu", "warn", "nvidia-smi finds no GPU", "check the driver, or use the CPUs")
    if "+cpu" in version("torch"):
        what = f"{found[0]}, but torch {version('torch')} is for CPUs"
        return Check("gpu", "warn", what, "install a CUDA build of torch")
    return Check("gpu", "ok", "; ".join(found))


def _disk(where: Path) -> Check:
    free = shutil.disk_usage(where).free / 1e9
    return _amount("disk", f"{free:.1f} GB free at {where}", free, _DISK_GB, "make room, or work on another disk")


def _memory() -> Check:
    free = psutil.virtual_memory().available / 1e9
    return _amount("memory", f"{free:.1f} GB available", free, _MEMORY_GB, "end other programs, or lower train.workers")


def _amount(name: str, what: str, amount: float, limits: tuple[float, float], remedy: str) -> Check:
    comfortable, least = limits
    if amount < least:
        return Check(name, "fail", f"{what}, the minimum is {least} GB", remedy)
    if amount < comfortable:
        return Check(name, "warn", f"{what}, {comfortable} GB are recommended", remedy)
    return Check(name, "ok", what)


def _encoders() -> Check:
    from atelier.tasks.runtime.encoder_weights import status

    rows = status()
    ready = [row.name for row in rows if row.ready]
    missing = [row.name for row in rows if not row.ready]
    remedy = " && ".join(f"atelier encoders pull {name}" for name in missing)
    if not ready:
        return Check("encoders", "fail", "no encoder has its weights on this machine", remedy)
    if missing:
        return Check("encoders", "warn", f"ready: {', '.join(ready)}; missing: {', '.join(missing)}", remedy)
    return Check("encoders", "ok", f"ready: {', '.join(ready)}")


def _workspace(workspace: Workspace) -> Check:
    from atelier.tasks.workspace.pipeline import stages
    from atelier.tasks.workspace.trust import check_settings

    try:
        check_settings(workspace.root)
        stages(workspace)
    except ValueError as error:
        return Check("workspace", "warn", str(error), "read what it names before you use --trust")
    return Check("workspace", "ok", f"{workspace.root}: {' → '.join(stages(workspace))}")
