"""Optimizer, learning-rate schedule, and gradient clipping."""

from collections.abc import Iterable

import torch
from torch import Tensor

from atelier.models.configs.base import OptimizerConfig
from atelier.models.distributed import all_reduce_together


def new_optimizer(config: OptimizerConfig, turn: str, parameters: Iterable[Tensor]) -> torch.optim.AdamW:
    """The optimizer of the "generator" or of the "discriminator"."""
    lr = config.generator_lr if turn == "generator" else config.discriminator_lr
    return torch.optim.AdamW(parameters, lr, (config.beta1, config.beta2), weight_decay=config.weight_decay, fused=True)


def lr_factor(done: int, steps: int, warm_up: int, decay_from: float) -> float:
    """Factor of the learning rates at a step: linear from zero, constant, linear to zero.

    Warm-up: Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.2. Decay: Zhu et al. 2017, section 4.

    Args:
        done: finished steps.
        steps: of the whole training.
        warm_up: steps until the full rate.
        decay_from: share of the steps after which rates fall.
    """
    share = done / steps
    falling = 1.0 if share < decay_from else (1 - share) / (1 - decay_from)
    return min(falling, (done + 1) / (warm_up + 1))


def all_reduce_gradients(parameters: Iterable[Tensor]) -> None:
    """Sum the gradients over all ranks, in one message."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    for gradient, total in zip(gradients, all_reduce_together(gradients), strict=True):
        gradient.copy_(total)


def clip_gradients(parameters: Iterable[Tensor], largest: float) -> Tensor:
    """Scale the gradients down to a norm of at most `largest`, if that is not 0; returns the norm before."""
    parameters = list(parameters)
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if largest:
        torch.nn.utils.clip_grads_with_norm_(parameters, largest, norm)
    return norm
