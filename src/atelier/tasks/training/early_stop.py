"""Early stop: training ends when its pictures no longer come closer to style pictures that it never sees.

With few style pictures a training that goes on learns them by heart. At each grid of samples the mean Gram matrices of
painted examples are compared with those of the held-out style pictures. After `patience` grids without a smaller
distance the training is over, and the weights with the smallest one are its result (Prechelt 1998, "Early Stopping: But
When?"). The distances are kept beside the checkpoints, so that a training that is killed and resumed stops where one
that was not does. Every rank measures the same, so all stop together.
"""

import json
from collections.abc import Callable

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from atelier.models.encoders.base import Encoder
from atelier.models.files import replacing
from atelier.models.losses.perceptual import gram, style_loss
from atelier.models.pixels import to_float
from atelier.models.training import Trainer
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.runtime.files import write
from atelier.tasks.training.loader import examples, row_groups
from atelier.tasks.training.plan import TrainingPlan

DISTANCES, BEST = "distances.json", "best.safetensors"  # in the run's folder
HELD_OUT = 32  # pictures that are compared with, at most
BATCH = 8


class Enough(Exception):  # noqa: N818  it is no error
    """The training is over."""


class EarlyStop:
    """The distances of a training.

    Raises:
        ValueError: the training set has no held-out style pictures.
    """

    def __init__(self, plan: TrainingPlan, trainer: Trainer, encoder: Encoder, content: Tensor, is_first: bool) -> None:
        self.plan, self.trainer, self.content, self.is_first = plan, trainer, content, is_first
        self.encoder = encoder.to(trainer.device)
        groups = row_groups(plan.data, read_card(plan.data), plan.style, split="holdout")
        self.target = self._grams(examples(groups, HELD_OUT))
        self.distances: dict[int, float] = {}
        if (plan.run / DISTANCES).is_file():
            known = json.loads((plan.run / DISTANCES).read_text())
            self.distances = {int(step): value for step, value in known.items() if int(step) <= trainer.step}

    @property
    def best(self) -> int:
        """The step of the smallest distance, the first of equal ones."""
        return min(self.distances, key=lambda step: (self.distances[step], step))

    @property
    def enough(self) -> bool:
        """Whether so many grids came no closer."""
        return bool(self.distances) and sum(step > self.best for step in self.distances) >= self.plan.patience

    def measure(self, step: int) -> float:
        """The distance at a step, which is kept; with the weights, if it is the smallest."""
        painted = self._grams(self.trainer.sample(self.content))
        self.distances[step] = style_loss(painted, self.target).item()
        if self.is_first:
            if self.best == step:
                weights = self.trainer.generator_ema.state_dict()
                with replacing(self.plan.run / BEST) as temporary:
                    save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, temporary)
            write(self.plan.run / DISTANCES, json.dumps(self.distances).encode())
        return self.distances[step]

    def restore(self) -> int:
        """Give the averaged generator its best weights. Returns their step."""
        self.trainer.generator_ema.load_state_dict(load_file(self.plan.run / BEST))
        return self.best

    @torch.no_grad()
    def _grams(self, pictures: Tensor) -> dict[str, Tensor]:
        """Mean Gram matrices (C, C) by layer of uint8 pictures (B, 3, H, W)."""
        means: dict[str, Tensor] = {}
        for some in torch.split(pictures, BATCH):
            features = self.encoder.encode(to_float(some, self.trainer.device))
            for layer in self.encoder.style_layers:
                share = gram(features[layer]).sum(0) / len(pictures)
                means[layer] = means[layer] + share if layer in means else share
        return means


def until_enough(stop: EarlyStop, on_sample: Callable[[int], None]) -> Callable[[int], None]:
    """`on_sample`, after which the training ends if it is enough: raises Enough."""

    def measured(step: int) -> None:
        stop.measure(step)  # first: what is shown is measured, also after a kill
        on_sample(step)
        if stop.enough:
            raise Enough

    return measured
