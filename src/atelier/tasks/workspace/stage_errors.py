"""Errors of pipeline stages, passed in a file: DVC runs a stage and reports only its exit code."""

import json
from pathlib import Path

from atelier.tasks.runtime import files
from atelier.tasks.runtime.errors import one_line
from atelier.tasks.runtime.ray_driver import ClusterLost
from atelier.tasks.workspace.layout import Workspace


class StageFailed(RuntimeError):  # noqa: N818 (the error of another process)
    """A stage of the pipeline failed. The message names the stage and the reason."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable  # whether another attempt may succeed


def write_error(workspace: Workspace, stage: str, error: Exception) -> None:
    """Record why a stage failed."""
    from atelier.models.watchdog import TrainingStopped

    retryable = not isinstance(
        error, ValueError | FileNotFoundError | NotADirectoryError | ClusterLost | TrainingStopped
    )
    content = {"reason": one_line(error), "retryable": retryable}
    files.write(_file(workspace, stage), json.dumps(content).encode())


def clear_error(workspace: Workspace, stage: str) -> None:
    """Remove the record of an earlier run."""
    _file(workspace, stage).unlink(missing_ok=True)


def read_error(workspace: Workspace, stage: str, refusal: str = "") -> StageFailed:
    """The recorded error of a stage. A killed stage recorded none: it may be retried.

    Args:
        refusal: what DVC said, if it did not run the stage.
    """
    reason, retryable = "it ended without a message, as after a kill, or with a full disk or memory", True
    if refusal:
        reason = f"DVC did not run it: {refusal}"
    try:
        content = json.loads(_file(workspace, stage).read_bytes())
        reason, retryable = content["reason"], bool(content["retryable"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    again = " (the same command again continues)" if retryable else ""
    return StageFailed(f"stage {stage} failed: {reason}{again}", retryable=retryable)


def _file(workspace: Workspace, stage: str) -> Path:
    return workspace.private / "failed" / f"{stage}.json"
