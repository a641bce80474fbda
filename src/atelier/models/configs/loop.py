"""Settings of the training loop, whatever the method."""

from dataclasses import dataclass

from atelier.models.configs.base import Precision
from atelier.models.metrics.inversion import INVERTED
from atelier.models.settings import Settings, setting, setting_of


@dataclass(frozen=True)
class WatchdogConfig(Settings):
    """When to stop a training. Checks of the outputs need batches of two images at least."""

    enabled: bool = setting(True, "whether to stop a training that went wrong")
    divergence: float = setting(20.0, "times its usual size that a loss is diverged at", gt=1)
    patience: int = setting(5, "log points in a row with a diverged loss before it stops", ge=1)
    discriminator_patience: int = setting(30, "log points in a row with a discriminator of no use", ge=2)
    least_diversity: float = setting(
        0.1, "of painted pictures, in units of the diversity of what they were painted from", ge=0, le=1
    )
    least_correlation: float = setting(
        INVERTED, "of light and dark in painted pictures and in the originals", ge=-1, le=1
    )
    sample_patience: int = setting(3, "sample points in a row with bad pictures before it stops", ge=1)
    most_repetition: float = setting(
        0.6, "median of how much of what is painted into plain areas repeats, as rows of dots do", ge=0, le=1
    )
    repetition_patience: int = setting(
        10, "sample points in a row with such patterns before it stops; young generators leave them and lose them", ge=1
    )
    diverse_from: int = setting(1000, "steps that a generator has from nothing until its pictures must differ", ge=0)


@dataclass(frozen=True)
class LoopConfig(Settings):
    """How long and how fast to train, whatever the method."""

    steps: int = setting(2000, "updates of the generator", ge=1)
    batch_size: int = setting(4, "pictures a step, over all workers", ge=1)
    accumulate: int = setting(1, "parts a worker's batch goes through in, for less memory at the same result", ge=1)
    warm_up_steps: int = setting(0, "steps until the full learning rate", ge=0)
    decay_from: float = setting(0.5, "share of the steps after which rates fall linearly to zero", ge=0, le=1)
    ema_half_life_steps: float = setting(50.0, "half-life of the averaged weights, in steps", gt=0)
    seed: int = setting(0, "seed of weights and order", ge=0)
    log_every: int = setting(10, "steps between two metrics", ge=1)
    checkpoint_every: int = setting(200, "steps between two checkpoints", ge=1)
    sample_every: int = setting(200, "steps between two sample grids", ge=1)
    precision: Precision = setting(
        "auto", "arithmetic; auto takes bfloat16 where the processor has instructions for it"
    )
    watchdog: WatchdogConfig = setting_of(WatchdogConfig, "what stops a training that goes wrong")
