"""Where training runs: what each worker gets of the cluster, and Ray Train's `fit` around them."""

import os
import threading
from collections.abc import Sequence
from typing import Literal

from atelier.tasks.training_plan import Plan

SNAPSHOT = "checkpoint_manager_snapshot.json"  # Ray Train's list of a run's checkpoints

KEPT_CHECKPOINTS = 2  # of a run, the last ones
_START_ATTEMPTS = 3  # to place the workers, of a minute each


def resources(workers: int, device: Literal["auto", "cpu", "gpu"]) -> tuple[bool, int]:
    """Whether each worker gets a GPU, and the number of its CPUs.

    Raises:
        ValueError: the cluster has no room for the workers.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    gpu = device == "gpu" or (device == "auto" and gpus >= workers)
    if gpu and gpus < workers:
        raise ValueError(f"train.workers is {workers}, but the Ray cluster has {gpus} GPUs: use device cpu")
    usable = [node for node in nodes if node.get("GPU", 0) >= 1] if gpu else nodes
    return gpu, cpus_per_worker([node.get("CPU", 0) for node in usable], workers)


def cpus_per_worker(nodes: Sequence[float], workers: int) -> int:
    """The largest number of CPUs that each of `workers` can have, when none is divided among nodes.

    Args:
        nodes: CPUs of each node.
        workers: at least 1.

    Raises:
        ValueError: there are fewer CPUs than workers.
    """
    for cpus in range(int(max(nodes, default=0)), 0, -1):
        if sum(int(node // cpus) for node in nodes) >= workers:
            return cpus
    raise ValueError(
        f"train.workers is {workers}, but the Ray cluster has {sum(int(node) for node in nodes)} CPUs: "
        "use fewer workers or add nodes"
    )


class Fit:
    """Ray Train's `fit` in a thread of its own, so that the calling thread can report, and Ctrl-C stays Python's."""

    def __init__(self, plan: Plan, workers: int, gpu: bool, max_failures: int) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, args=(plan, workers, gpu, max_failures), name="fit", daemon=True
        )
        self._thread.start()

    def running(self, seconds: float) -> bool:
        """Wait that long, then tell whether the training still runs."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def result(self) -> None:
        """Raise what made the training fail, if it did."""
        if self._error is not None:
            raise _explained(self._error)

    def _run(self, plan: Plan, workers: int, gpu: bool, max_failures: int) -> None:
        from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
        from ray.train.v2.api.config import LoggingConfig

        from atelier.tasks.training_worker import Placed, work

        # how often Ray looks at its workers: its 2 s would be waited out at the end of every training
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
        resources = {"CPU": plan.threads, **({"GPU": 1} if gpu else {})} if plan.threads else None
        try:
            Placed(
                work,
                train_loop_config={"plan": plan},
                scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpu, resources_per_worker=resources),
                run_config=RunConfig(
                    name=plan.run.name,
                    storage_path=os.fspath(plan.run.parent),
                    checkpoint_config=CheckpointConfig(num_to_keep=KEPT_CHECKPOINTS),
                    failure_config=FailureConfig(
                        max_failures=max_failures, controller_failure_limit=_START_ATTEMPTS - 1
                    ),
                    # its errors are raised here, and its own log files keep them whole
                    logging_config=LoggingConfig(log_level="CRITICAL"),
                ),
            ).fit()
        except BaseException as error:  # noqa: BLE001 (handed to the calling thread)
            self._error = error


def _explained(error: BaseException) -> BaseException:
    """The error that a person can act on, out of Ray Train's."""
    from ray.train import ControllerError, WorkerGroupError

    if isinstance(error, ControllerError):
        return RuntimeError(
            f"Ray could not start the training workers ({_one_line(error.controller_failure)}): "
            "see what else uses the cluster, or use fewer train.workers"
        )
    if isinstance(error, WorkerGroupError):
        rank, failure = min(error.worker_failures.items())
        cause = getattr(failure, "_base_exc", failure)  # what was raised in the worker, without Ray's wrapping
        if isinstance(cause, (ValueError, FileNotFoundError)):
            return cause
        explained = RuntimeError(f"training failed in worker {rank}: {type(cause).__name__}: {_one_line(cause)}")
        explained.__cause__ = error
        return explained
    return error


def _one_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
