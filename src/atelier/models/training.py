"""The training loop, with no framework around it.

Everything that is not a function of the step lies in `Trainer.state_dict`: learning rates, the averaging, the order of
the pictures and every random draw are functions of (seed, step, place in the batch). So a training that is stopped and
resumed ends with the same weights as one that was not, and needs no random state to do so.
"""

import copy
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from atelier.models.artifact import TrainedModel
from atelier.models.configs.base import Precision
from atelier.models.configs.loop import LoopConfig
from atelier.models.controls import Controls
from atelier.models.distributed import all_gather, all_reduce, rank_places, world_size
from atelier.models.encoders.base import Encoder
from atelier.models.initial_weights import load_initial_weights
from atelier.models.methods import method_of
from atelier.models.methods.base import Batch, Method, MicroBatch
from atelier.models.optimizer import all_reduce_gradients, clip_gradients, lr_factor, new_optimizer
from atelier.models.pixels import NonFinite, to_float
from atelier.models.random_draws import noise
from atelier.models.watchdog import TrainingStopped, Watchdog
from atelier.models.weights_file import mismatch

WATCHED = 8  # least images that the watchdog gets at a sample point


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that convolutions compute in."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if native else torch.float32


class Trainer:
    """Trains one method, on one device of one rank.

    Args:
        rank: of this process, of those that torch.distributed connects.
        embedded: the encoder that is a part of the generator, where the method has one.

    Raises:
        ValueError: there are more ranks than pictures in a batch.
    """

    def __init__(
        self,
        method_config: Any,
        training: LoopConfig,
        encoder: Encoder,
        device: torch.device | str = "cpu",
        rank: int = 0,
        embedded: Encoder | None = None,
    ) -> None:
        self.training, self.device = training, torch.device(device)
        self.places = rank_places(rank, world_size(), training.batch_size)
        dtype = resolve_precision(training.precision, self.device)
        self.precision = str(dtype).removeprefix("torch.")
        method = method_of(method_config)
        with torch.random.fork_rng():
            torch.manual_seed(training.seed)
            self.method: Method = method(method_config, encoder, self.device, dtype)
        if embedded is not None:
            self.method.embed(embedded)
        self.generator_ema = copy.deepcopy(self.method.modules["generator"]).requires_grad_(False).eval()
        whole = nn.ModuleDict(self.method.modules)
        self.parameters = {
            turn: [p for name in names for p in whole.get_submodule(name).parameters()]
            for turn, names in self.method.turns.items()
        }
        self.method_config = method_config
        self.optimizers = {turn: new_optimizer(method_config.optimizer, turn, p) for turn, p in self.parameters.items()}
        self.base_lr = {turn: optimizer.param_groups[0]["lr"] for turn, optimizer in self.optimizers.items()}
        self.watchdog = Watchdog(training.watchdog, method_config, self.method.weights)
        self.step = 0
        self.is_warm = False  # whether the first weights are a trained model's

    # ---- state: everything that is not a function of the step

    def _modules(self) -> dict[str, nn.Module]:
        return {**self.method.modules, "generator_ema": self.generator_ema}

    def state_dict(self) -> dict[str, Tensor]:
        """Networks, averages, style targets, optimizers and the step, as one flat dictionary of tensors."""
        state = {"step": torch.tensor(self.step), "is_warm": torch.tensor(self.is_warm)}
        for name, module in self._modules().items():
            state |= {f"{name}/{key}": value.detach() for key, value in module.state_dict().items()}
        for name, optimizer in self.optimizers.items():
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
            for name, optimizer in self.optimizers.items():
                values: dict[int, dict[str, Tensor]] = {}
                for key, value in state.items():
                    if key.startswith(f"optimizer/{name}/"):
                        _, _, index, kind = key.split("/")
                        parameter = self.parameters[name][int(index)]
                        # moments have the memory format of their weight
                        kept = (
                            torch.empty_like(parameter) if value.shape == parameter.shape else torch.empty_like(value)
                        )
                        values.setdefault(int(index), {})[kind] = kept.detach().copy_(value)
                optimizer.load_state_dict({**optimizer.state_dict(), "state": values})
            self.step = int(state["step"])
            self.is_warm = bool(state.get("is_warm", False))  # a state of an older version has none
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(f"the state does not fit this training: {mismatch(error)}") from error

    def start_from(self, base: TrainedModel, style: Tensor) -> None:
        """Begin with the weights of a trained model, see `initial_weights`. Raises ValueError where they do not fit."""
        generator = self.method.modules["generator"]
        load_initial_weights(generator, self.method_config, base, style)
        self.generator_ema.load_state_dict(generator.state_dict())
        self.is_warm = True

    # ---- one step

    def _parts(self, batch: Batch) -> Iterator[MicroBatch]:
        """This rank's batch, in `accumulate` parts of about the same size."""
        count = min(self.training.accumulate, len(self.places))
        for index in range(count):
            rows = slice(index * len(self.places) // count, (index + 1) * len(self.places) // count)
            content_labels, style_labels = (
                None if of is None else of[rows].to(self.device) for of in (batch.content_labels, batch.style_labels)
            )
            yield MicroBatch(
                to_float(batch.content[rows], self.device),
                to_float(batch.style[rows], self.device),
                seed=self.training.seed,
                step=self.step,
                first=self.places.start + rows.start,
                batch_size=self.training.batch_size,
                is_whole=count == 1,
                content_labels=content_labels,
                style_labels=style_labels,
            )

    def _update(self, batch: Batch) -> dict[str, Tensor]:
        """One step: every network's turn. Returns this rank's part of each metric's mean, on the device."""
        parts = list(self._parts(batch))
        metrics: dict[str, Tensor] = {}
        factor = lr_factor(self.step, self.training.steps, self.training.warm_up_steps, self.training.decay_from)
        for turn, parameters in self.parameters.items():
            # the other networks only pass gradients through
            for other, theirs in self.parameters.items():
                for p in theirs:
                    p.requires_grad_(other == turn)
            self.method.begin(turn, parts)
            for part in parts:
                for losses in self.method.losses(turn, part):
                    total = sum((self.method.weights.get(n, 0.0) * v for n, v in losses.items()), torch.zeros(()))
                    torch.autograd.backward(part.fraction * total)
                    for name, value in losses.items():
                        value = part.fraction * value.detach()
                        metrics[name] = metrics[name] + value if name in metrics else value
            if world_size() > 1:
                all_reduce_gradients(parameters)
            metrics[f"{turn}_gradient_norm"] = (
                clip_gradients(parameters, self.method_config.optimizer.clip_norm) / world_size()
            )
            metrics[f"{turn}_lr"] = torch.tensor(self.base_lr[turn] * factor / world_size())
            for group in self.optimizers[turn].param_groups:
                group["lr"] = self.base_lr[turn] * factor
            self.optimizers[turn].step()
            # gradients are as large as their network: free them for the next turn
            self.optimizers[turn].zero_grad()
        return metrics

    @torch.no_grad()
    def _average(self) -> None:
        """Karras et al. 2020: exponential moving average of the weights, with a shorter half-life at the beginning.

        Not after a trained model's weights: a new discriminator and new moments of Adam spoil them in the first steps,
        and repair them later.
        """
        half_life = self.training.ema_half_life_steps
        if not self.is_warm:
            half_life = min(half_life, self.step / 10 + 1e-3)
        weight = 1 - 0.5 ** (1 / half_life)
        generator, averages = self.method.modules["generator"], list[Tensor](self.generator_ema.parameters())
        if averages:
            torch._foreach_lerp_(averages, [*generator.parameters()], weight)
        for kept, buffer in zip(self.generator_ema.buffers(), generator.buffers(), strict=True):
            kept.copy_(buffer)

    # ---- the loop

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
            on_step: every `log_every` steps, before each checkpoint and at the end, with the means of the metrics since
                it was last called, over all ranks.
            on_checkpoint: every `checkpoint_every` steps and at the end, of a state that the watchdog found good.
            on_sample: every `sample_every` steps and at the end.

        Raises:
            TrainingStopped: the watchdog saw that the training went wrong; on all ranks alike.
        """
        t = self.training
        if self.step == 0:
            self.method.prepare(batches, t.batch_size)
        if not self.method.turns:
            self.step = max(self.step, t.steps - 1)  # `prepare` was all
        sums: dict[str, Tensor] = {}
        counts: Counter[str] = Counter()
        recent: deque[Tensor] = deque(maxlen=-(-WATCHED // t.batch_size))
        while self.step < t.steps:
            batch = batches(self.step)
            metrics = self._update(batch)
            recent.append(batch.style if self.method_config.generates else batch.content)
            self.step += 1
            self._average()

            # sums stay on the device: fetching them every step would synchronise
            sums |= {name: sums[name] + value if name in sums else value for name, value in metrics.items()}
            counts.update(metrics.keys())
            last = self.step == t.steps
            checkpoint, sample = (last or self.step % every == 0 for every in (t.checkpoint_every, t.sample_every))
            if checkpoint or self.step % t.log_every == 0:
                means = self._means(sums, counts)
                sums, counts = {}, Counter()
                on_step(self.step, means)
                self.watchdog.losses(self.step, means)
            if sample:
                try:
                    self._watch(recent)
                except TrainingStopped:
                    on_sample(self.step)  # so that the reason can be seen
                    raise
            if checkpoint:
                on_checkpoint(self.step)
            if sample:
                on_sample(self.step)

    def _watch(self, recent: Iterable[Tensor]) -> None:
        """Check outputs of the last inputs of all ranks, so that all ranks reach one verdict.

        A method that generates is compared with images of its style domain.
        """
        content = torch.cat(
            [all_gather(x.to(self.device), self.places.start, self.training.batch_size) for x in recent]
        )
        try:
            painted = self.sample(content)
        except NonFinite as error:
            raise TrainingStopped(f"stopped at step {self.step}: {error}") from error
        self.watchdog.samples(self.step, content, painted)

    def _means(self, sums: Mapping[str, Tensor], counts: Mapping[str, int]) -> dict[str, float]:
        """Metrics over all ranks and the steps that had them since they were last fetched."""
        if not sums:
            return {}
        means = [value.to(self.device, torch.float32) / counts[name] for name, value in sums.items()]
        return dict(zip(sums, all_reduce(torch.stack(means)).tolist(), strict=True))

    def sample(self, content: Tensor) -> Tensor:
        """Paint uint8 pictures (B, 3, H, W) with the averaged generator; or generate as many, from the same noise."""
        if self.method_config.generates:
            drawn = noise(self.training.seed, range(len(content)), self.method_config.noise)
            return self.method.from_noise(self.method_config, self.generator_ema, drawn)
        given = self.method.inputs(self.method_config, content, 0)
        return self.method.painter(self.method_config, self.generator_ema, Controls())(given)

    def sample_rows(self, pictures: Tensor) -> dict[str, Tensor]:
        """Further rows of the grids of samples, see `Method.sample_rows`."""
        return self.method.sample_rows(self.method_config, self.generator_ema, pictures, self.training.seed)
