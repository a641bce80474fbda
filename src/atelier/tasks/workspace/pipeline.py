"""The DVC pipeline: the order of its stages, running one, committing its files.

DVC decides whether a stage has anything to do. It does not supervise processes: what it starts ends with this process.
"""

import graphlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML

from atelier.tasks.runtime.processes import environment, parent_death_signal
from atelier.tasks.runtime.progress import RECORDS, Report, read_record, silent
from atelier.tasks.workspace import stage_errors
from atelier.tasks.workspace.format_versions import write_formats
from atelier.tasks.workspace.layout import Workspace
from atelier.tasks.workspace.locks import lock
from atelier.tasks.workspace.repository import dvc, dvc_command, git
from atelier.tasks.workspace.trust import check_pipeline, read_pipeline

_OWNED = (
    *("dvc.yaml", "dvc.lock", "sources.lock", "start.lock", "formats.yaml", "artifacts/style-model*.dvc"),
    *("reports/evaluation.json", "reports/folds.json"),
    *(".gitignore", "data/.gitignore", "artifacts/.gitignore", "reports/.gitignore"),  # DVC adds outputs to them
)
_STOP_S = 15.0


def stages(workspace: Workspace) -> list[str]:
    """The stages of dvc.yaml, each after those whose outputs it depends on.

    DVC's graph would have the user's own files too, like `notes.dvc` or `more/dvc.yaml`, and fail if one is damaged.

    Raises:
        ValueError: a stage is not Atelier's own, see `trust.check_pipeline`; or the file is damaged.
    """
    check_pipeline(workspace)
    found = read_pipeline(workspace)["stages"]
    makers = {
        path: name for name, stage in found.items() for kind in ("outs", "metrics") for path in _paths(stage, kind)
    }
    needs = {name: {makers[p] for p in _paths(stage, "deps") if p in makers} for name, stage in found.items()}
    try:
        return list(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        raise ValueError(f"{workspace.dvc_yaml} has a circle: {' → '.join(error.args[1])}") from error


def _paths(stage: Any, kind: str) -> list[str]:
    """Paths of a stage's outputs or dependencies."""
    listed = stage.get(kind) if isinstance(stage, dict) else None
    return [next(iter(one)) if isinstance(one, dict) else str(one) for one in listed or ()]


def checkout_data(workspace: Workspace, *options: str) -> None:
    """Check out the outputs of the stages, and nothing else that the user has in DVC."""
    lock_file = workspace.dvc_lock.read_text() if workspace.dvc_lock.is_file() else ""
    have_run = (YAML(typ="safe", pure=True).load(lock_file) or {}).get("stages", {})
    if targets := [stage for stage in stages(workspace) if stage in have_run]:
        dvc(workspace.root, "checkout", "--force", *options, *targets)


def track_folder(workspace: Workspace, folder: Path) -> None:
    """Add a folder that no stage makes to DVC; `commit` commits its `.dvc` file. Raises RuntimeError if DVC fails."""
    dvc(workspace.root, "add", folder.relative_to(workspace.root).as_posix())


def reproduce(
    workspace: Workspace, stage: str, report: Report = silent, say: Callable[[str], object] = print
) -> Literal["ran", "restored", "unchanged"]:
    """Run a stage with DVC if a dependency has changed.

    The stage's progress goes to `report`, its lines for the user to `say`; what else it and DVC write goes to standard
    error as it comes. Both end with this process, even if it is killed.

    Returns:
        "ran"; "restored", where DVC had the outputs of an earlier run with the same inputs; or "unchanged".

    Raises:
        StageFailed: it failed; the message has the reason.
        RuntimeError: another process runs the pipeline of this workspace.
        ValueError: settings or stages are not Atelier's own, see `trust`.
    """
    with lock(workspace, "pipeline"):
        stage_errors.clear_error(workspace, stage)
        _remove_broken_rwlock(workspace)
        write_formats(workspace)
        command = dvc_command(workspace.root, "repro", "--single-item", stage)
        process = subprocess.Popen(
            command,
            cwd=workspace.root,
            env=environment() | {"SHELL": "/bin/sh", RECORDS: "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            bufsize=1,
            process_group=0,  # signals come from here, not from the terminal: to the stage first, then to DVC
            preexec_fn=parent_death_signal(),
        )
        ran = restored = False
        refusal = ""  # what DVC says when it does not come to run the stage
        try:
            assert process.stdout is not None
            with process.stdout as lines:
                for line in lines:
                    ran = ran or line.startswith(f"Running stage '{stage}'")
                    restored = restored or line.startswith(f"Stage '{stage}' is cached")
                    message = read_record(line)
                    if isinstance(message, str):
                        say(message)
                    elif message:
                        report(message)
                    else:
                        if line.startswith("ERROR: ") and not ran:
                            refusal = line.removeprefix("ERROR: ").strip()
                        sys.stderr.write(line)
                        sys.stderr.flush()
            code = process.wait()
        except BaseException:
            _stop(process)
            raise
    if code:
        raise stage_errors.read_error(workspace, stage, refusal)
    return "ran" if ran else "restored" if restored else "unchanged"


def commit(workspace: Workspace, message: str) -> str:
    """Commit the files that Atelier owns, and no other, if something changed; return the id of the last commit."""
    paths = owned_files(workspace)
    # in a submodule git would run filters that the submodule's own settings name
    if git(workspace.root, "status", "--porcelain", "--ignore-submodules=all", "--", *paths).strip():
        git(workspace.root, "add", "--", *paths)
        git(workspace.root, "commit", "--quiet", "--message", message, "--", *paths)
    return git(workspace.root, "rev-parse", "HEAD").strip()


def owned_files(workspace: Workspace) -> list[str]:
    """Relative paths of the files that Atelier owns."""
    listed = git(workspace.root, "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *_OWNED)
    return sorted({path for path in listed.split("\0") if path})


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
