"""Policies of Ray Train: how many workers a training gets, when it is tried again, and the error that a user sees."""

import time
from collections import Counter
from typing import Any

import ray

# Ray has no public class or function for what follows: its policies are internal, `ray.nodes()` has no free resources,
# and `ray.util.state` asks the dashboard, which our head does not have. `tests/tasks/training/test_ray_policies.py`
# fails where a new Ray has changed them.
from ray._private.state import available_resources_per_node
from ray.train import ControllerError, WorkerGroupError
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2._internal.execution.failure_handling import DefaultFailurePolicy, FailureDecision
from ray.train.v2._internal.execution.scaling_policy import ElasticScalingPolicy, NoopDecision, ScalingDecision
from ray.train.v2._internal.execution.worker_group import WorkerGroupPollStatus, WorkerGroupState
from ray.train.v2.api.exceptions import TrainingFailedError

from atelier.models.watchdog import TrainingStopped
from atelier.tasks.runtime.cluster import accepts_connections
from atelier.tasks.runtime.errors import first_line

_RELEASE_S = 5.0  # a worker that has just ended may still hold its resources


class PolicyTrainer(TorchTrainer):  # type: ignore[misc]
    """Ray's trainer with our policies, and without its placement group cleaner.

    That detached actor asks the dashboard every second whether the training runs. A head without a dashboard never
    answers, so the actor would stay after a driver was killed; and Ray frees a placement group with its driver anyway.
    """

    def _create_default_callbacks(self) -> list[object]:
        return [c for c in super()._create_default_callbacks() if not isinstance(c, PlacementGroupCleanerCallback)]

    def _initialize_and_run_controller(self, **parts: Any) -> Any:
        parts["failure_policy"] = FinalErrorPolicy(self.run_config.failure_config)
        if self.scaling_config.elasticity_enabled:
            parts["scaling_policy"] = FreeResourcesPolicy(self.scaling_config)
        return super()._initialize_and_run_controller(**parts)


class FinalErrorPolicy(DefaultFailurePolicy):  # type: ignore[misc]
    """Retries except after errors that would come again: a diverged training, wrong settings, missing files."""

    def make_decision(self, training_failed_error: TrainingFailedError) -> FailureDecision:
        """Whether a failed group of workers is started again."""
        if isinstance(training_failed_error, WorkerGroupError) and _final_error(training_failed_error):
            return FailureDecision.RAISE
        return super().make_decision(training_failed_error)


class FreeResourcesPolicy(ElasticScalingPolicy):  # type: ignore[misc]
    """Elastic scaling by free resources: as many workers as have room now, at each start and at times to grow.

    Ray's own policy divides the total resources of the nodes as they were up to twenty seconds ago. After the loss of a
    node it would wait a minute for workers there, and beside other work it would end a running training for a larger
    one that finds no room. Ray notices a lost node only after some 15 s, so the nodes are probed.
    """

    def __init__(self, scaling_config: object) -> None:
        super().__init__(scaling_config)
        self._held: Counter[str] = Counter()  # our workers on each node

    def make_decision_for_non_running_worker_group(self) -> ScalingDecision:
        """The number of workers to start: the fewest are waited for, as a fixed number is."""
        self._maybe_send_resource_request()
        deadline = time.monotonic() + _RELEASE_S
        while (
            possible := self._count_possible_workers(self._get_reserved_resources())
        ) < self.scaling_config.max_workers and time.monotonic() < deadline:
            time.sleep(0.2)
        self._held.clear()  # workers end before others start
        return self._get_resize_decision(max(possible, self.scaling_config.min_workers))

    def make_decision_for_running_worker_group(
        self, worker_group_state: WorkerGroupState, worker_group_status: WorkerGroupPollStatus
    ) -> ScalingDecision:
        """Whether to grow; a loss is the failure policy's."""
        self._held = Counter(worker.metadata.node_id for worker in worker_group_state.workers)
        decision = super().make_decision_for_running_worker_group(worker_group_state, worker_group_status)
        shrinks = getattr(decision, "num_workers", self.scaling_config.max_workers) < worker_group_state.num_workers
        return NoopDecision() if shrinks else decision

    def _get_reserved_resources(self) -> dict[str, dict[str, float]]:
        """The resources of each living node that are free, or held by our workers."""
        a_worker = self.scaling_config._resources_per_worker_not_none
        free = available_resources_per_node()
        there = [
            n for n in ray.nodes() if n["Alive"] and accepts_connections(n["NodeManagerAddress"], n["NodeManagerPort"])
        ]
        return {
            node: {name: free[node].get(name, 0.0) + self._held[node] * need for name, need in a_worker.items()}
            for node in (n["NodeID"] for n in there)
            if node in free
        }


def user_error(error: BaseException) -> BaseException:
    """The cause of one of Ray Train's errors, with what to do."""
    if isinstance(error, ControllerError):
        return RuntimeError(
            f"Ray could not start the training workers ({first_line(error.controller_failure)}): "
            "see what else uses the cluster, or use fewer train.workers"
        )
    if isinstance(error, WorkerGroupError):
        if final := _final_error(error):
            return final
        # the others fail because one is gone: its failure is the cause
        rank, failure = min(
            error.worker_failures.items(),
            key=lambda item: (not isinstance(item[1], WorkerHealthCheckFailedError), item[0]),
        )
        user_error = RuntimeError(f"training failed in worker {rank}: {type(failure).__name__}: {first_line(failure)}")
        user_error.__cause__ = error
        return user_error
    return error


def _final_error(error: WorkerGroupError) -> Exception | None:
    """An error of a worker that would come again."""
    found = (TrainingStopped, ValueError, FileNotFoundError)
    return next((failure for _, failure in sorted(error.worker_failures.items()) if isinstance(failure, found)), None)
