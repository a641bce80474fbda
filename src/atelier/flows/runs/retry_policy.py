"""Retry policy of a nightly run: which errors are tried again, and after how long."""

from collections.abc import Callable
from typing import Any, TypeVar

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun

from atelier.flows.config.retrain import RetrainConfig
from atelier.flows.runs.terminal import say
from atelier.tasks.runtime.errors import short_line
from atelier.tasks.runtime.ray_driver import ClusterLost
from atelier.tasks.workspace.stage_errors import StageFailed

R = TypeVar("R")


class RetryPolicy:
    """Retries of a task after errors that may be temporary, with delays that double."""

    def __init__(self, config: RetrainConfig) -> None:
        self.delays = [config.retry_after_s * 2**index for index in range(config.retries)]

    def __call__(self, one: Task[..., R]) -> Callable[..., R]:
        """The task with retries, to be called."""
        if not self.delays:
            return one
        return one.with_options(
            retries=len(self.delays), retry_delay_seconds=self.delays, retry_condition_fn=_is_retryable
        )


def _is_retryable(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a second try may succeed: not with bad parameters, a diverged training, or a lost cluster."""
    error = state.result(raise_on_failure=False)
    again = error.retryable if isinstance(error, StageFailed) else not isinstance(error, ValueError | ClusterLost)
    if again:
        say(f"{run.name}: {short_line(error)}; it is tried again soon")
    return again
