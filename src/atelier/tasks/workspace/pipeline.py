"""The DVC pipeline: the order of its stages, running one, committing its files.

DVC decides whether a stage has anything to do. It does not supervise processes: what it starts ends with this process.
"""

import graphlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML

from atelier.tasks.runtime.processes import dvc, environment, git, parent_death_signal
from atelier.tasks.workspace import stage_errors
from atelier.tasks.workspace.format_versions import write_formats
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock

STAGES = ("ingest", "augment", "train", "evaluate")

_OWNED = (
    *("dvc.yaml", "dvc.lock", "sources.lock", "start.lock", "formats.yaml", ".gitignore", "artifacts/*.dvc"),
    *("reports/evaluation.json", "reports/folds.json"),
)
_KNOWN_KEYS = {"cmd", "deps", "params", "outs", "metrics", "plots", "desc", "meta", "always_changed", "frozen"}
_STOP_S = 15.0
_DVC_MESSAGES = re.compile(
    r"^(Running stage '.*|> .*|(Updating|Generating) lock file.*|Stage '.*|Use `dvc push`.*|To track the changes.*"
    r"|To enable auto staging.*|\tgit add.*|\tdvc config.*|Data and pipelines are up to date\."
    r"|Verifying outputs in .*|)$"
)


def stages(workspace: Workspace) -> list[str]:
    """The stages by DVC's graph, without folders of `track_folder`. Raises RuntimeError where DVC cannot read it."""
    graph = graphlib.TopologicalSorter[str]()
    for line in dvc(workspace.root, "dag", "--dot").splitlines():
        names = re.findall(r'"([^"]+)"', line)
        if names:
            before, *after = names
            graph.add(before)
            for name in after:
                graph.add(name, before)
    return [name for name in graph.static_order() if not name.startswith("artifacts/")]


def track_folder(workspace: Workspace, folder: Path) -> None:
    """Add a folder that no stage makes to DVC; `commit` commits its `.dvc` file. Raises RuntimeError if DVC fails."""
    dvc(workspace.root, "add", "--quiet", folder.relative_to(workspace.root).as_posix())


def check_trust(workspace: Workspace, trust: bool) -> None:
    """Check that the pipeline runs only Atelier: a cloned workspace is untrusted input.

    Raises:
        ValueError: a stage has another command, and the user did not give --trust; or dvc.yaml is damaged.
    """
    try:
        content = YAML(typ="safe", pure=True).load(workspace.dvc_yaml.read_text())
        found: dict[str, Any] = dict(content["stages"])
    except Exception as error:
        raise ValueError(f"{workspace.dvc_yaml} is damaged: restore it with git ({type(error).__name__})") from error
    if trust:
        return
    for name, stage in found.items():
        command = stage.get("cmd") if isinstance(stage, dict) else None
        if name not in STAGES or command != f"atelier {name}" or not _KNOWN_KEYS.issuperset(stage):
            raise ValueError(
                f"{workspace.dvc_yaml}: stage {name!r} is not atelier's own (its command is {command!r}): "
                "read it, and say --trust if it may run"
            )


def reproduce(workspace: Workspace, stage: str) -> Literal["ran", "restored", "unchanged"]:
    """Run a stage with DVC if a dependency has changed; its output is printed as it comes.

    DVC and the stage end with this process, even if it is killed.

    Returns:
        "ran"; "restored", where DVC had the outputs of an earlier run with the same inputs; or "unchanged".

    Raises:
        StageFailed: it failed; the message has the reason.
        RuntimeError: another process runs the pipeline of this workspace.
    """
    with lock(workspace, "pipeline"):
        stage_errors.clear_error(workspace, stage)
        _remove_broken_rwlock(workspace)
        write_formats(workspace)
        command = [sys.executable, "-m", "dvc", "repro", "--single-item", stage]
        process = subprocess.Popen(
            command,
            cwd=workspace.root,
            env=environment() | {"SHELL": "/bin/sh"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            process_group=0,  # signals come from here, not from the terminal: to the stage first, then to DVC
            preexec_fn=parent_death_signal(),
        )
        ran = restored = False
        try:
            assert process.stdout is not None
            with process.stdout as lines:
                for line in lines:
                    ran = ran or line.startswith(f"Running stage '{stage}'")
                    restored = restored or line.startswith(f"Stage '{stage}' is cached")
                    if not _DVC_MESSAGES.match(line.rstrip("\n")):
                        sys.stdout.write(line)
                        sys.stdout.flush()
            code = process.wait()
        except BaseException:
            _stop(process)
            raise
    if code:
        raise stage_errors.read_error(workspace, stage)
    return "ran" if ran else "restored" if restored else "unchanged"


def commit(workspace: Workspace, message: str) -> str:
    """Commit the files that Atelier owns, and no other, if something changed; return the id of the last commit."""
    paths = owned_files(workspace)
    if git(workspace.root, "status", "--porcelain", "--", *paths).strip():
        git(workspace.root, "add", "--", *paths)
        git(workspace.root, "commit", "--quiet", "--message", message, "--", *paths)
    return git(workspace.root, "rev-parse", "HEAD").strip()


def owned_files(workspace: Workspace) -> list[str]:
    """Relative paths of the files that Atelier owns."""
    listed = git(workspace.root, "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *_OWNED)
    ignores = git(workspace.root, "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", "**/.gitignore")
    return sorted({path for path in (listed + ignores).split("\0") if path})


def _stop(process: subprocess.Popen[str]) -> None:
    """Interrupt the stage and DVC, then kill them."""
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_STOP_S)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _remove_broken_rwlock(workspace: Workspace) -> None:
    """Remove a lock file that a killed DVC left half written; DVC itself removes locks of ended processes."""
    path = workspace.root / ".dvc" / "tmp" / "rwlock"
    try:
        json.loads(path.read_text())
    except FileNotFoundError:
        return
    except ValueError:
        path.unlink()
