"""Settings of the optimizer."""

from dataclasses import dataclass
from typing import ClassVar

from atelier.models.settings import setting


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam for the generator and the discriminator, each with its own rate.

    Two time scales: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule". Weight decay is decoupled from
    the gradient: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2. Clipping by the norm
    of all gradients together: Pascanu et al. 2013, "On the difficulty of training RNNs", algorithm 1.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    generator_lr: float = setting(1e-3, "Adam's rate for the generator", gt=0)
    discriminator_lr: float = setting(5e-4, "Adam's rate for the discriminator", gt=0)
    beta1: float = setting(0.5, "memory of the gradient's mean", ge=0, lt=1)
    beta2: float = setting(0.99, "memory of its square", ge=0, lt=1)
    weight_decay: float = setting(0.0, "share of its rate by which a weight shrinks each step", ge=0)
    clip_norm: float = setting(0.0, "largest norm of a network's gradient; 0 does not clip", ge=0)
