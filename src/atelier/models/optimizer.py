"""How weights are updated: the optimizer, its rates over time, and what keeps one step from being too large."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from atelier.models.distributed import summed_together


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam for the generator and the discriminator, each with its own rate.

    Two time scales: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule". Weight decay is decoupled from
    the gradient: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2. Clipping by the norm
    of all gradients together: Pascanu et al. 2013, "On the difficulty of training RNNs", algorithm 1.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    generator_lr: float = field(default=1e-3, metadata={"description": "Adam's rate for the generator", "gt": 0})
    discriminator_lr: float = field(
        default=5e-4, metadata={"description": "Adam's rate for the discriminator", "gt": 0}
    )
    beta1: float = field(default=0.5, metadata={"description": "memory of the gradient's mean", "ge": 0, "lt": 1})
    beta2: float = field(default=0.99, metadata={"description": "memory of its square", "ge": 0, "lt": 1})
    weight_decay: float = field(
        default=0.0, metadata={"description": "share of its rate by which a weight shrinks each step", "ge": 0}
    )
    clip_norm: float = field(
        default=0.0, metadata={"description": "largest norm of a network's gradient; 0 does not clip", "ge": 0}
    )

    def optimizer(self, turn: str, parameters: Iterable[Tensor]) -> torch.optim.AdamW:
        """The optimizer of the "generator" or of the "discriminator"."""
        lr = self.generator_lr if turn == "generator" else self.discriminator_lr
        return torch.optim.AdamW(parameters, lr, (self.beta1, self.beta2), weight_decay=self.weight_decay, fused=True)


def rate(done: int, steps: int, warm_up: int, decay_from: float) -> float:
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


def exchange(parameters: Iterable[Tensor]) -> None:
    """Sum the gradients over all ranks, in one message."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    for gradient, total in zip(gradients, summed_together(gradients), strict=True):
        gradient.copy_(total)


def clip(parameters: Iterable[Tensor], largest: float) -> Tensor:
    """Scale the gradients down to a norm of at most `largest`, if that is not 0; returns the norm before."""
    parameters = list(parameters)
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if largest:
        torch.nn.utils.clip_grads_with_norm_(parameters, largest, norm)
    return norm
