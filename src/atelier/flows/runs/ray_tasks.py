"""Waiting for Prefect tasks that run on Ray: their results, or the errors of those that failed."""

from collections.abc import Sequence
from typing import Any

_POLL_S = 0.5


def take_ended(waiting: dict[str, Sequence[Any]]) -> dict[str, Any]:
    """Remove from `waiting` the entries that have ended: all of their tasks succeeded, or one failed.

    An entry has the futures of tasks, each of which needs the one before it, and is waited for a moment. Of those that
    have ended the result of the last task is returned, or the error of the task that failed.
    """
    ended = {}
    for name, futures in list(waiting.items()):
        try:
            ended[name] = _result(futures)
        except TimeoutError:
            continue
        del waiting[name]
    return ended


def _result(futures: Sequence[Any]) -> Any:
    found: Any = None
    for future in futures:
        try:
            found = future.result(timeout=_POLL_S, raise_on_failure=False)
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 (a worker that died)
            return error
        if isinstance(found, Exception):
            return found
    return found
