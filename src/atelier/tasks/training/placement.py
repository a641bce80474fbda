"""Placement of the training workers on the cluster, and Ray Train's `fit` in a thread."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from atelier.tasks.training.plan import TrainingPlan

SNAPSHOT = "checkpoint_manager_snapshot.json"  # Ray Train's list of a run's checkpoints

GROW_EVERY_S = 60.0  # how often a training with fewer workers than wanted tries to grow
_START_ATTEMPTS = 3  # to place the workers, of a minute each
_SILENCE_S = 300  # a worker that waits longer for another one fails


@dataclass(frozen=True)
class Placement:
    """The workers of a training, and what each gets."""

    workers: int  # most
    min_workers: int  # fewest with which it starts, or goes on when others are lost
    now: int  # that the cluster has room for
    cpus: int  # of each
    gpu: bool  # one for each

    def __str__(self) -> str:
        """`2 × 4 CPUs and a GPU`, as it begins."""
        fewer = f", {self.workers} workers wanted" if self.now < self.workers else ""
        return f"{self.now} × {self.cpus} CPUs" + (" and a GPU" if self.gpu else "") + fewer


def place(workers: int, min_workers: int, device: Literal["auto", "cpu", "gpu"]) -> Placement:
    """Divide the cluster among workers.

    Args:
        device: "auto" takes GPUs where there are enough of them for `min_workers`.

    Raises:
        ValueError: the cluster has no room for that many.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(int(node.get("GPU", 0)) for node in nodes)
    gpu = trains_on_gpu(workers, min_workers, device)
    if gpu and gpus < min_workers:
        raise ValueError(f"train.{_least(workers, min_workers)}, but the Ray cluster has {gpus} GPUs: use device cpu")
    room = [(node.get("CPU", 0), int(node.get("GPU", 0)) if gpu else workers) for node in nodes]
    now = min(workers, sum(min(int(cpus), most) for cpus, most in room))
    if now < min_workers:
        raise ValueError(
            f"train.{_least(workers, min_workers)}, but the Ray cluster has {sum(int(cpus) for cpus, _ in room)} CPUs: "
            "use fewer workers or add nodes"
        )
    return Placement(workers, min_workers, now, cpus_per_worker(room, now), gpu)


def trains_on_gpu(workers: int, min_workers: int, device: Literal["auto", "cpu", "gpu"]) -> bool:
    """Whether a training gets GPUs: those of the cluster, or without workers this machine's."""
    if device != "auto":
        return device == "gpu"
    if workers:
        import ray

        return bool(ray.is_initialized() and ray.cluster_resources().get("GPU", 0) >= min_workers)
    import torch

    return torch.cuda.is_available()


def cpus_per_worker(nodes: Sequence[tuple[float, int]], workers: int) -> int:
    """The largest number of CPUs that each of `workers` can have, when none is divided among nodes.

    Args:
        nodes: CPUs of each node, and the most workers that it may have.
        workers: at least 1, and no more than have a CPU.
    """
    return next(
        count
        for count in range(int(max(cpus for cpus, _ in nodes)), 0, -1)
        if sum(min(int(cpus // count), most) for cpus, most in nodes) >= workers
    )


def _least(workers: int, min_workers: int) -> str:
    return f"workers is {workers}" if workers == min_workers else f"min_workers is {min_workers}"


class FitThread:
    """Ray Train's `fit` in a thread of its own, so that the calling thread can report, and Ctrl-C stays Python's."""

    def __init__(self, plan: TrainingPlan, placement: Placement | None, max_failures: int) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(plan, placement, max_failures), name="fit", daemon=True)
        self._thread.start()

    def running(self, seconds: float) -> bool:
        """Wait that long, then say whether the training still runs."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def result(self) -> None:
        """Raise what made the training fail, if it did."""
        if self._error is not None:
            from atelier.tasks.training.ray_policies import user_error

            raise user_error(self._error)

    def _run(self, plan: TrainingPlan, placement: Placement | None, max_failures: int) -> None:
        from ray.train import CheckpointConfig, FailureConfig, RunConfig
        from ray.train.v2.api.config import LoggingConfig

        from atelier.tasks.training.ray_policies import PolicyTrainer
        from atelier.tasks.training.rendezvous import NodeTorchConfig
        from atelier.tasks.training.worker import work

        # how often Ray polls its workers: its default of 2 s would be waited out at the end of every training
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
        try:
            PolicyTrainer(
                work,
                train_loop_config={"plan": plan},
                torch_config=NodeTorchConfig(timeout_s=_SILENCE_S),
                scaling_config=_scaling(placement),
                run_config=RunConfig(
                    name=plan.run.name,
                    storage_path=os.fspath(plan.run.parent),
                    checkpoint_config=CheckpointConfig(num_to_keep=plan.keep_checkpoints),
                    failure_config=FailureConfig(
                        max_failures=max_failures, controller_failure_limit=_START_ATTEMPTS - 1
                    ),
                    # its errors are raised here, and its own log files keep them whole
                    logging_config=LoggingConfig(log_level="CRITICAL"),
                ),
            ).fit()
        except BaseException as error:  # noqa: BLE001 (handed to the calling thread)
            self._error = error


def _scaling(placement: Placement | None) -> Any:
    from ray.train import ScalingConfig

    if placement is None:
        return ScalingConfig(num_workers=0)
    fewest, most = placement.min_workers, placement.workers
    return ScalingConfig(
        num_workers=most if fewest == most else (fewest, most),
        use_gpu=placement.gpu,
        resources_per_worker={"CPU": placement.cpus, **({"GPU": 1} if placement.gpu else {})},
        elastic_resize_monitor_interval_s=GROW_EVERY_S,
    )
