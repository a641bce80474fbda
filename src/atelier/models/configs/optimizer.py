"""Settings of the optimizer."""

from dataclasses import dataclass, field
from typing import ClassVar


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
