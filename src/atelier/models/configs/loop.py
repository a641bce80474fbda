"""Settings of the training loop, whatever the method."""

from dataclasses import dataclass, field
from typing import ClassVar

from atelier.models.configs.choices import Precision
from atelier.models.metrics.inversion import INVERTED


@dataclass(frozen=True)
class WatchdogConfig:
    """When to stop a training. What is said of the pictures needs two of them at least."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    enabled: bool = field(default=True, metadata={"description": "whether to stop a training that went wrong"})
    divergence: float = field(
        default=20.0, metadata={"description": "times its usual size that a loss is diverged at", "gt": 1}
    )
    patience: int = field(
        default=5, metadata={"description": "log points in a row with a diverged loss before it stops", "ge": 1}
    )
    discriminator_patience: int = field(
        default=30, metadata={"description": "log points in a row with a discriminator of no use", "ge": 2}
    )
    least_diversity: float = field(
        default=0.1,
        metadata={
            "description": "of painted pictures, in units of the diversity of what they were painted from",
            "ge": 0,
            "le": 1,
        },
    )
    least_correlation: float = field(
        default=INVERTED,
        metadata={"description": "of light and dark in painted pictures and in the originals", "ge": -1, "le": 1},
    )
    sample_patience: int = field(
        default=3, metadata={"description": "sample points in a row with bad pictures before it stops", "ge": 1}
    )
    diverse_from: int = field(
        default=1000,
        metadata={"description": "steps that a generator has from nothing until its pictures must differ", "ge": 0},
    )


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast to train, whatever the method."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    steps: int = field(default=2000, metadata={"description": "updates of the generator", "ge": 1})
    batch_size: int = field(default=4, metadata={"description": "pictures a step, over all workers", "ge": 1})
    accumulate: int = field(
        default=1,
        metadata={"description": "parts a worker's batch goes through in, for less memory at the same result", "ge": 1},
    )
    warm_up_steps: int = field(default=0, metadata={"description": "steps until the full learning rate", "ge": 0})
    decay_from: float = field(
        default=0.5,
        metadata={"description": "share of the steps after which rates fall linearly to zero", "ge": 0, "le": 1},
    )
    ema_half_life_steps: float = field(
        default=50.0, metadata={"description": "half-life of the averaged weights, in steps", "gt": 0}
    )
    seed: int = field(default=0, metadata={"description": "seed of weights and order", "ge": 0})
    log_every: int = field(default=10, metadata={"description": "steps between two metrics", "ge": 1})
    checkpoint_every: int = field(default=200, metadata={"description": "steps between two checkpoints", "ge": 1})
    sample_every: int = field(default=200, metadata={"description": "steps between two sample grids", "ge": 1})
    precision: Precision = field(
        default="auto",
        metadata={"description": "arithmetic; auto takes bfloat16 where the processor has instructions for it"},
    )
    watchdog: WatchdogConfig = field(
        default_factory=WatchdogConfig, metadata={"description": "what stops a training that goes wrong"}
    )
