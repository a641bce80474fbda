"""Child processes: git and DVC, and processes that end with their parent."""

import ctypes
import functools
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from atelier.tasks.runtime.child_environment import safe_environment
from atelier.tasks.runtime.files import cache_folder

_CLOCK_S = 10.0  # tolerance of start times: a clock that is set moves them
_START_S = 300.0  # on a machine that other work fills; one that ends is noticed at once
_PR_SET_PDEATHSIG = 1
# set by git for its hooks: they would select another repository
_GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")

# no hooks or monitors of a repository, no signatures; a remote is no command line
_GIT_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "submodule.recurse": "false",
    "push.recurseSubmodules": "no",
    "protocol.ext.allow": "never",
}


def run(argv: list[str], cwd: Path) -> str:
    """Run a program to its end and return its output.

    Raises:
        RuntimeError: it failed; the message has its last line, or its first `error:` line.
        FileNotFoundError: there is no such program.
    """
    done = subprocess.run(
        argv, cwd=cwd, env=environment(), capture_output=True, encoding="utf-8", errors="surrogateescape", check=False
    )
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        # git and DVC mark the line that matters; advice follows it
        marked = [line for line in said if line.lower().startswith(("error:", "fatal:"))]
        reason = (marked or said or [f"exit code {done.returncode}"])[-1 if not marked else 0].strip()
        raise RuntimeError(f"`{' '.join([Path(argv[0]).name, *argv[1:4]])} …` failed in {cwd}: {reason}")
    return done.stdout


def start_detached(
    command: list[str], variables: dict[str, str], log: Path, held: tuple[int, ...]
) -> tuple[int, float]:
    """Start a program in a session of its own, in the folder of its log; it goes on when this process ends.

    It inherits the file descriptors `held`. Returns its pid, and its start time in seconds since the epoch.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env=safe_environment(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=held,
        )
    created = psutil.Process(process.pid).create_time()
    process.returncode = 0  # from here on it is known by its pid, in other processes too
    return process.pid, created


def await_started(name: str, ready: Callable[[], bool], alive: Callable[[], bool], log: Path) -> None:
    """Wait for a started program.

    Raises:
        RuntimeError: it ended or takes too long; the message has its log's last line, and what to do.
    """
    deadline = time.monotonic() + _START_S
    while not ready():
        late = time.monotonic() > deadline
        if late or not alive():
            lines = log.read_text(errors="replace").strip().splitlines()
            said = f": {lines[-1]}" if lines else ""
            if late:
                raise RuntimeError(
                    f"the {name} did not start within {_START_S:.0f} s{said}. The machine may be busy: try again with "
                    f"`atelier up`, or read {log}"
                )
            raise RuntimeError(f"the {name} ended while it started{said or ', without a word'}: read {log}")
        time.sleep(0.05)


def git(root: Path, *arguments: str) -> str:
    """Run git in a repository, without hooks, signatures and questions, and return its output."""
    return run(["git", *arguments], root)


def environment() -> dict[str, str]:
    """The environment of git, DVC and their stages: this Python's programs first, no questions, no analytics."""
    inherited = {name: value for name, value in safe_environment().items() if name not in _GIT_VARIABLES}
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join([programs, *(p for p in inherited.get("PATH", "").split(os.pathsep) if p != programs)])
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_PAGER": "cat", "GIT_EDITOR": "true", "DVC_NO_ANALYTICS": "1"}
    quiet |= {"LC_ALL": "C.UTF-8", "DVC_SITE_CACHE_DIR": dvc_state_folder()}
    return inherited | {"PATH": path} | quiet | _git_settings(inherited)


def dvc_state_folder() -> str:
    """DVC's folder for what it knows of files: this user's own. DVC's default is open to all, and has pickles."""
    if given := os.environ.get("DVC_SITE_CACHE_DIR"):
        return given
    return str(cache_folder("dvc"))


def _git_settings(variables: dict[str, str]) -> dict[str, str]:
    """Variables by which git, in children of children too, takes the settings of `_GIT_SETTINGS`, after the user's."""
    first = int(variables.get("GIT_CONFIG_COUNT") or 0)
    numbered = {f"GIT_CONFIG_KEY_{n}": key for n, key in enumerate(_GIT_SETTINGS, first)}
    numbered |= {f"GIT_CONFIG_VALUE_{n}": value for n, value in enumerate(_GIT_SETTINGS.values(), first)}
    return numbered | {"GIT_CONFIG_COUNT": str(first + len(_GIT_SETTINGS))}


def die_with_parent() -> None:
    """End this process when its parent ends, even if that is killed (Linux); a shell that waits is passed over."""
    if sys.platform != "linux":
        return
    _set_parent_death_signal()
    shell = psutil.Process().parent()
    if shell is None or shell.cmdline()[1:2] != ["-c"]:
        return
    parent = shell.parent()
    if parent is None or parent.pid == 1:  # it has ended already
        os.kill(os.getpid(), signal.SIGKILL)
        return
    ended = os.pidfd_open(parent.pid)

    def watch() -> None:
        select.select([ended], [], [])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="die-with-parent").start()


def parent_death_signal() -> Callable[[], None]:
    """A `preexec_fn` that makes the kernel kill the child when the thread that starts it ends (Linux)."""
    parent = os.getpid()
    _libc()  # loaded here: a child should do little between fork and exec

    def prepare() -> None:
        _set_parent_death_signal()
        if os.getppid() != parent:  # the parent ended before the call
            os._exit(1)

    return prepare


def _set_parent_death_signal() -> None:
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def is_running(pid: int, created: float) -> bool:
    """Whether the process with this pid and start time (seconds since the epoch) still runs."""
    try:
        process = psutil.Process(pid)
        return bool(abs(process.create_time() - created) < _CLOCK_S and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
