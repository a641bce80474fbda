"""Ray's internal classes that our policies build on: a new Ray that changed them is noticed here, without a cluster."""

import inspect

from ray.train import RunConfig, ScalingConfig
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.controller.controller import TrainController
from ray.train.v2._internal.execution.failure_handling import DefaultFailurePolicy
from ray.train.v2._internal.execution.scaling_policy import ElasticScalingPolicy
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from atelier.tasks.training import ray_policies
from atelier.tasks.training.ray_policies import FinalErrorPolicy, FreeResourcesPolicy, PolicyTrainer


def parameters(function: object) -> list[str]:
    assert callable(function)
    return list(inspect.signature(function).parameters)


def test_what_the_policies_override_is_there() -> None:
    for ours, theirs in ((FinalErrorPolicy, DefaultFailurePolicy), (FreeResourcesPolicy, ElasticScalingPolicy)):
        methods = [name for name, member in vars(ours).items() if inspect.isfunction(member)]
        assert "make_decision" in methods or len(methods) > 3
        for name in methods:
            assert parameters(getattr(ours, name)) == parameters(getattr(theirs, name)), name
    for name in ("_maybe_send_resource_request", "_count_possible_workers", "_get_resize_decision"):
        assert callable(getattr(ElasticScalingPolicy, name))
    for name in ("_create_default_callbacks", "_initialize_and_run_controller"):
        assert callable(getattr(DataParallelTrainer, name))
    assert {"failure_policy", "scaling_policy"} < set(parameters(TrainController.__init__))
    assert isinstance(ScalingConfig(num_workers=1)._resources_per_worker_not_none, dict)


def test_ray_has_a_placement_group_cleaner_and_ours_has_none() -> None:
    def names(kind: type[DataParallelTrainer]) -> set[str]:
        trainer = kind(lambda: None, scaling_config=ScalingConfig(num_workers=1), run_config=RunConfig(name="x"))
        return {type(callback).__name__ for callback in trainer._create_default_callbacks()}

    from ray.train.torch import TorchTrainer

    assert names(TorchTrainer) - names(PolicyTrainer) == {PlacementGroupCleanerCallback.__name__}


def test_free_resources_are_asked_for_by_node() -> None:
    assert parameters(ray_policies.available_resources_per_node) == []
