"""The training loop, with no framework around it.

Everything that is not a function of the step lies in `Trainer.state_dict`: learning rates, the averaging, the order of
the pictures and every random draw are functions of (seed, step, place in the batch). So a training that is stopped and
resumed ends with the same weights as one that was not, and needs no random state to do so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal
from zlib import crc32

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from atelier.models.encoders.base import Encoder
from atelier.models.methods import METHODS
from atelier.models.methods.base import Batch, Method, Wrap

__all__ = ["Batch", "Trainer", "TrainingConfig", "draw", "load_checkpoint", "save_checkpoint"]

Precision = Literal["float32", "bfloat16", "auto"]


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast to train, whatever the method."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    steps: int = field(default=2000, metadata={"description": "updates of the generator", "ge": 1})
    batch_size: int = field(default=4, metadata={"description": "pictures a step, over all workers", "ge": 1})
    generator_lr: float = field(default=1e-3, metadata={"description": "Adam's rate for the generator", "gt": 0})
    discriminator_lr: float = field(
        default=5e-4, metadata={"description": "Adam's rate for the discriminator", "gt": 0}
    )
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


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that convolutions compute in."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32


@lru_cache(maxsize=8)
def _epoch(seed: int, domain: str, epoch: int, size: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    return np.random.default_rng([seed, crc32(domain.encode()), epoch]).permutation(size)


def draw(seed: int, domain: str, position: int, size: int) -> int:
    """Which of `size` pictures of a domain is the one at `position`, each once an epoch, in an order of its own.

    Args:
        seed: of the training.
        domain: its name; domains are shuffled independently.
        position: step · global batch size + place in the global batch.
        size: pictures of the domain.
    """
    return int(_epoch(seed, domain, position // size, size)[position % size])


def _unwrapped(module: nn.Module) -> nn.Module:
    return module


class Trainer:
    """Trains one method, on one device of one of `world_size` ranks.

    Args:
        method_config: config dataclass of a method, such as `CpganConfig`.
        training: see `TrainingConfig`.
        encoder: frozen perceptual encoder.
        device: where to compute.
        rank: of this process.
        world_size: number of processes; the global batch is divided evenly.
        wrap: makes a network exchange its gradients, such as DistributedDataParallel.

    Raises:
        ValueError: the batch cannot be divided among the ranks.
    """

    def __init__(
        self,
        method_config: Any,
        training: TrainingConfig,
        encoder: Encoder,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
        wrap: Wrap = _unwrapped,
    ) -> None:
        if training.batch_size % world_size:
            raise ValueError(f"batch_size {training.batch_size} cannot be divided among {world_size} workers")
        self.training, self.rank, self.world_size = training, rank, world_size
        self.device = torch.device(device)
        dtype = resolve_precision(training.precision, self.device)
        self.precision = str(dtype).removeprefix("torch.")
        method = next(m for m in METHODS.values() if m.Config is type(method_config))
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            rates = (training.generator_lr, training.discriminator_lr)
            self.method: Method = method(method_config, encoder, self.device, dtype, rates, wrap)
            self.generator_ema = method.build_generator(method_config).to(self.device)
        self.generator_ema.requires_grad_(False)
        self.generator_ema.load_state_dict(self.method.modules["generator"].state_dict())
        self.base_lr = {name: o.param_groups[0]["lr"] for name, o in self.method.optimizers.items()}
        self.step = 0

    # ---- state: everything that is not a function of the step

    def _modules(self) -> dict[str, nn.Module]:
        return {**self.method.modules, "generator_ema": self.generator_ema}

    def state_dict(self) -> dict[str, Tensor]:
        """Networks, averages, style targets, optimizers and the step, as one flat dictionary of tensors."""
        state = {"step": torch.tensor(self.step)}
        for name, module in self._modules().items():
            state |= {f"{name}/{key}": value.detach() for key, value in module.state_dict().items()}
        for name, optimizer in self.method.optimizers.items():
            for index, values in optimizer.state_dict()["state"].items():
                state |= {f"optimizer/{name}/{index}/{key}": value for key, value in values.items()}
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue where `state_dict` was taken.

        Raises:
            ValueError: the state belongs to other networks.
        """
        try:
            for name, module in self._modules().items():
                prefix = f"{name}/"
                module.load_state_dict(
                    {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
                )
            for name, optimizer in self.method.optimizers.items():
                values: dict[int, dict[str, Tensor]] = {}
                for key, value in state.items():
                    if key.startswith(f"optimizer/{name}/"):
                        _, _, index, kind = key.split("/")
                        values.setdefault(int(index), {})[kind] = value.clone()
                optimizer.load_state_dict({**optimizer.state_dict(), "state": values})
            self.step = int(state["step"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(f"the state does not fit this training: {str(error).splitlines()[0]}") from error

    def start_from(self, generator: Mapping[str, Tensor]) -> None:
        """Begin with the generator of an earlier model.

        Raises:
            ValueError: its networks have another shape.
        """
        try:
            for module in (self.method.modules["generator"], self.generator_ema):
                module.load_state_dict(generator)
        except RuntimeError as error:
            raise ValueError(f"the model to start from has another generator: {str(error).splitlines()[0]}") from error

    # ---- the loop

    def _set_rates(self) -> None:
        """Constant, then linear to zero."""
        done, start = self.step / self.training.steps, self.training.decay_from
        factor = 1.0 if done < start else (1 - done) / (1 - start)
        for name, optimizer in self.method.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = self.base_lr[name] * factor

    @torch.no_grad()
    def _average(self) -> None:
        """Karras et al. 2020: exponential average of the weights, with a short memory while there is little past."""
        half_life = min(self.training.ema_half_life_steps, self.step / 10 + 1e-3)
        weight = 1 - 0.5 ** (1 / half_life)
        averages: list[Tensor] = [*self.generator_ema.parameters()]
        torch._foreach_lerp_(averages, [*self.method.modules["generator"].parameters()], weight)

    def run(
        self,
        batches: Callable[[int], Batch],
        on_step: Callable[[int, dict[str, float]], None],
        on_checkpoint: Callable[[int], None],
        on_sample: Callable[[int], None],
    ) -> None:
        """Train from `step` to the last step. Callbacks get the number of finished steps, on all ranks alike.

        Args:
            batches: this rank's batch of a step (0-based): a function of the step alone.
            on_step: every `log_every` steps and at the end, with the means of the metrics since it was last called.
            on_checkpoint: every `checkpoint_every` steps and at the end.
            on_sample: every `sample_every` steps and at the end.
        """
        t = self.training
        if self.step == 0:
            self.method.prepare(batches)
        sums: dict[str, Tensor] = {}
        counted = 0
        while self.step < t.steps:
            self._set_rates()
            metrics = self.method.step(batches(self.step), self.step)
            self.step += 1
            self._average()

            # sums stay on the device: fetching them every step would make it wait for the host
            sums = {name: sums[name] + value if counted else value for name, value in metrics.items()}
            counted += 1
            last = self.step == t.steps
            if last or self.step % t.log_every == 0:
                on_step(self.step, {name: value.item() / counted for name, value in sums.items()})
                counted = 0
            if last or self.step % t.checkpoint_every == 0:
                on_checkpoint(self.step)
            if last or self.step % t.sample_every == 0:
                on_sample(self.step)

    def sample(self, content: Tensor) -> Tensor:
        """Paint uint8 pictures (B, 3, H, W) with the averaged generator."""
        return self.method.stylize(self.generator_ema, content, 1.0)


def save_checkpoint(path: Path, trainer: Trainer) -> None:
    """Write the trainer's state as one safetensors file, complete or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    save_file({key: value.cpu().contiguous() for key, value in trainer.state_dict().items()}, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path, trainer: Trainer) -> None:
    """Load what `save_checkpoint` wrote.

    Raises:
        ValueError: the file is damaged or belongs to another training.
    """
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}): delete it to start from the beginning") from error
    trainer.load_state_dict(state)
