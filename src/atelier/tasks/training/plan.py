"""The plan of a training: what its driver sends to its workers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atelier.models.configs.loop import LoopConfig

MODEL = "model"  # the finished model, in the run's folder
CHECKPOINT = "checkpoint.safetensors"  # in each folder that Ray keeps


@dataclass(frozen=True)
class TrainingPlan:
    """All that a worker needs; the same for every worker."""

    method_config: Any  # the method's config dataclass
    loop: LoopConfig
    encoder: str
    data: Path  # the training set
    content: str
    style: str
    initial: Path | None  # a model whose weights are the first ones
    run: Path  # folder of the run, which every worker sees
    threads: int | None  # of torch; its own default when not given
    facts: dict[str, Any]  # for the model card
    shuffle_rows: int  # pictures of a domain that are shuffled, and in memory, together
    fold: tuple[int, int] | None = None  # k and K: the groups of fold k of K are left out
    keep_checkpoints: int = 2  # the last ones
    patience: int = 0  # of the early stop; 0 for none
