"""What a stage failed of, told to whoever asked DVC for it: DVC itself passes on no more than an exit code."""

import json
from pathlib import Path

from atelier.tasks.runtime.errors import one_line
from atelier.tasks.runtime.files import write
from atelier.tasks.workspace.layout import Workspace


class StageFailed(RuntimeError):  # noqa: N818  it tells what another process met
    """A stage of the pipeline failed; the message says which and why."""

    def __init__(self, message: str, *, again: bool) -> None:
        super().__init__(message)
        self.again = again  # whether the same again may end better


def tell(workspace: Workspace, stage: str, error: Exception) -> None:
    """Leave word of a failure.

    Args:
        workspace: where the stage runs.
        stage: its name.
        error: what it failed of.
    """
    from atelier.models.watchdog import TrainingStopped

    again = not isinstance(error, ValueError | FileNotFoundError | NotADirectoryError | TrainingStopped)
    reason = one_line(error)
    write(_file(workspace, stage), json.dumps({"reason": reason, "again": again}).encode())


def forget(workspace: Workspace, stage: str) -> None:
    """Forget what was left of an earlier run."""
    _file(workspace, stage).unlink(missing_ok=True)


def failed(workspace: Workspace, stage: str) -> StageFailed:
    """The failure of a stage; of one that was killed there is no word."""
    try:
        told = json.loads(_file(workspace, stage).read_bytes())
    except (OSError, ValueError):
        told = {"reason": "it ended without a word, which a kill or a full disk does", "again": True}
    return StageFailed(
        f"stage {stage} failed: {told['reason']} (the same command again continues)", again=bool(told["again"])
    )


def _file(workspace: Workspace, stage: str) -> Path:
    return workspace.private / "failed" / f"{stage}.json"
