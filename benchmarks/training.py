"""How fast the engine trains, against a training step as everyone writes it: CycleGAN as published.

    python benchmarks/training.py

The reference step is plain PyTorch with the paper's networks and losses (Zhu et al. 2017: generators with nine residual
blocks and 64 filters, 70×70 PatchGANs, least squares, λ 10, identity 5, pool 50, batch 1): one picture at a time
through each network, float32, one backward pass for both generators. It reads from memory. The engine trains the same
networks with the same losses through the same loop as `atelier train`, with averaged weights, metrics, and pictures
that it decodes from a training set on disk. Each side runs in processes of its own, in turns; what is printed are
medians over all steps of all rounds, with quartiles. The first steps of a process are not counted.

Losses are compared step by step, from the same weights on the same pictures. Adam turns the rounding of small gradients
into whole steps, so trainings part soon; how soon is told by the reference against itself with one thread, which sums
in another order.
"""

import argparse
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.tasks.dataset.shards import SCHEMA, Card, write_card, write_shard
from overhead import cpu_name

RESULTS = Path(__file__).parent / "results"
WARM_UP = 2  # steps of a process that are not counted
SEED = 1


# ---- the step that everyone writes


class Block(nn.Module):
    """A residual block with reflected borders."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]
        other = [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)]
        self.body = nn.Sequential(*half, nn.ReLU(True), *other)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        y: Tensor = self.body(x)
        return x + y


def generator() -> nn.Sequential:
    """c7s1-64, d128, d256, nine R256, u128, u64, c7s1-3."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, 64, 7), nn.InstanceNorm2d(64), nn.ReLU(True)]
    for c in (64, 128):
        layers += [nn.Conv2d(c, 2 * c, 3, 2, 1), nn.InstanceNorm2d(2 * c), nn.ReLU(True)]
    layers += [Block(256) for _ in range(9)]
    for c in (256, 128):
        layers += [nn.ConvTranspose2d(c, c // 2, 3, 2, 1, 1), nn.InstanceNorm2d(c // 2), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(64, 3, 7), nn.Tanh())


def discriminator() -> nn.Sequential:
    """C64, C128, C256, C512, one score a patch."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    for c, stride in ((64, 2), (128, 2), (256, 1)):
        layers += [nn.Conv2d(c, 2 * c, 4, stride, 1), nn.InstanceNorm2d(2 * c), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(512, 1, 4, 1, 1))


class Reference:
    """CycleGAN, step by step."""

    def __init__(self) -> None:
        torch.manual_seed(SEED)
        self.g = {"ab": generator(), "ba": generator()}
        self.d = {"a": discriminator(), "b": discriminator()}
        self.pool: dict[str, list[Tensor]] = {"a": [], "b": []}
        for module in itertools.chain(*(n.modules() for n in (*self.g.values(), *self.d.values()))):
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0, 0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.of_d = [p for n in self.d.values() for p in n.parameters()]
        self.for_g, self.for_d = (
            torch.optim.Adam(itertools.chain(*(n.parameters() for n in nets.values())), 2e-4, (0.5, 0.999))
            for nets in (self.g, self.d)
        )

    def pooled(self, domain: str, new: Tensor) -> Tensor:
        """An image pool of 50."""
        pool = self.pool[domain]
        if len(pool) < 50:
            pool.append(new)
            return new
        if np.random.rand() < 0.5:
            return new
        slot = np.random.randint(50)
        old, pool[slot] = pool[slot], new
        return old

    def step(self, a: Tensor, b: Tensor, clock: Callable[[str], None] = lambda name: None) -> dict[str, float]:
        """One update of all four networks. `clock` is told what has just been done."""
        g, d = self.g, self.d
        for p in self.of_d:
            p.requires_grad_(False)
        fake_b, fake_a = g["ab"](a), g["ba"](b)
        returned_a, returned_b = g["ba"](fake_b), g["ab"](fake_a)
        same_b, same_a = g["ab"](b), g["ba"](a)
        score_b, score_a = d["b"](fake_b), d["a"](fake_a)
        losses = {
            "adversarial_style": F.mse_loss(score_b, torch.ones_like(score_b)),
            "adversarial_content": F.mse_loss(score_a, torch.ones_like(score_a)),
            "cycle_content": F.l1_loss(returned_a, a),
            "cycle_style": F.l1_loss(returned_b, b),
            "identity_style": F.l1_loss(same_b, b),
            "identity_content": F.l1_loss(same_a, a),
        }
        weights = {"adversarial": 1.0, "cycle": 10.0, "identity": 5.0}
        loss = torch.stack([weights[name.split("_")[0]] * value for name, value in losses.items()]).sum()
        clock("forward")
        self.for_g.zero_grad()
        torch.autograd.backward(loss)
        clock("backward")
        self.for_g.step()
        clock("optimizer")
        for p in self.of_d:
            p.requires_grad_(True)
        self.for_d.zero_grad()
        for domain, real, fake, name in (("b", b, fake_b, "style"), ("a", a, fake_a, "content")):
            true, false = d[domain](real), d[domain](self.pooled(domain, fake.detach()))
            value = 0.5 * (F.mse_loss(true, torch.ones_like(true)) + F.mse_loss(false, torch.zeros_like(false)))
            clock("forward")
            torch.autograd.backward(value)
            clock("backward")
            losses[f"discriminator_{name}"] = value
        self.for_d.step()
        clock("optimizer")
        return {name: value.item() for name, value in losses.items()}


def run_reference(size: int, steps: int, data: Path) -> dict[str, Any]:
    """Train on pictures in memory."""
    from atelier.models.pixels import to_float

    batches = _batches(data, "float32")
    pairs = []
    with batches:
        for step in range(8):
            batch = batches(step)
            pairs.append((to_float(batch.content, torch.device("cpu")), to_float(batch.style, torch.device("cpu"))))
    reference = Reference()
    seconds, losses = [], []
    for step in range(WARM_UP + steps):
        begin = time.perf_counter()
        losses.append(reference.step(*pairs[step % len(pairs)]))
        seconds.append(time.perf_counter() - begin)
    return {"seconds": seconds[WARM_UP:], "losses": losses[: len(pairs)], "peak_gb": _peak_gb()}


def run_reordered(size: int, steps: int, data: Path) -> dict[str, Any]:
    """The reference again, with sums in another order."""
    torch.set_num_threads(1)
    return run_reference(size, steps, data)


def run_parts(size: int, steps: int, data: Path) -> dict[str, Any]:
    """Forward passes, backward passes and optimizers of the reference, each timed alone."""
    torch.manual_seed(SEED)
    reference = Reference()
    a, b = (torch.rand(1, 3, size, size) * 2 - 1 for _ in range(2))
    sums: list[float] = []
    for _ in range(WARM_UP + steps):
        spent = dict.fromkeys(("forward", "backward", "optimizer"), 0.0)
        last = time.perf_counter()

        def clock(name: str) -> None:
            nonlocal last
            now = time.perf_counter()
            spent[name] += now - last  # noqa: B023 (called within the step)
            last = now

        reference.step(a, b, clock)
        sums.append(sum(spent.values()))
    return {"seconds": sums[WARM_UP:]}


# ---- the engine


def plan_on(data: Path, method_config: Any, loop: Any) -> Any:
    """How a method is trained on what `write_training_set` wrote."""
    from atelier.tasks.training.plan import TrainingPlan

    return TrainingPlan(
        method_config=method_config, loop=loop, encoder="efficientnet_lite0", data=data, content="photos",
        style="paintings", initial=None, run=data / "run", threads=None, facts={}, shuffle_rows=256,
    )  # fmt: skip


def _plan(data: Path, precision: str, steps: int = 10**6) -> Any:
    from atelier.models.configs.loop import LoopConfig
    from atelier.models.configs.translation import CycleganConfig

    loop = LoopConfig(
        steps=steps, batch_size=1, log_every=1, checkpoint_every=10**6, sample_every=10**6, seed=SEED,
        precision=precision,  # type: ignore[arg-type]
    )  # fmt: skip
    return plan_on(data, CycleganConfig(), loop)


def _batches(data: Path, precision: str) -> Any:
    from atelier.tasks.training.loader import BatchLoader

    return BatchLoader(_plan(data, precision), 0, 1)


def run_engine(size: int, steps: int, data: Path, precision: str) -> dict[str, Any]:
    """Train by the loop of `atelier train`, from a training set on disk."""
    from atelier.models import encoders as networks
    from atelier.models.training import Trainer
    from atelier.tasks.runtime import encoder_weights

    plan = _plan(data, precision, WARM_UP + steps)
    encoder = networks.load(plan.encoder, encoder_weights.resolve(plan.encoder))
    trainer = Trainer(plan.method_config, plan.loop, encoder)
    _copy(Reference(), trainer)
    ends, losses, waits = [time.perf_counter()], [], []
    with _batches(data, precision) as batches:

        def on_step(step: int, metrics: dict[str, float]) -> None:
            ends.append(time.perf_counter())
            losses.append(metrics)
            waits.append(batches.waited_share())

        trainer.run(batches, on_step, lambda step: None, lambda step: None)
    seconds = [end - begin for begin, end in itertools.pairwise(ends)]
    return {
        "seconds": seconds[WARM_UP:],
        "losses": losses[:8],
        "data_wait": statistics.mean(waits[WARM_UP:]),
        "peak_gb": _peak_gb(),
    }


def _copy(reference: Reference, trainer: Any) -> None:
    """Begin with the reference's weights; the engine has no biases where a norm takes them out."""
    for ours, theirs in (
        (trainer.method.generator.forth, reference.g["ab"]),
        (trainer.method.generator.back, reference.g["ba"]),
        (trainer.method.discriminators["content"], reference.d["a"]),
        (trainer.method.discriminators["style"], reference.d["b"]),
    ):
        given = [p for p in theirs.parameters() if p.ndim == 4]
        taken = [p for p in ours.parameters() if p.ndim == 4]
        for p, value in zip(taken, given, strict=True):
            p.data.copy_(value.data)
    trainer.generator_ema.load_state_dict(trainer.method.generator.state_dict())


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


# ---- a training set


def write_training_set(folder: Path, size: int, count: int = 64) -> None:
    """Smooth random pictures of two domains."""
    import hashlib

    import pyarrow as pa

    from atelier.tasks.images import codec

    shards = []
    for index, domain in enumerate(("photos", "paintings")):
        rng = np.random.default_rng(index)
        arrays = [rng.integers(0, 256, (8 * 2**index, 8 * 2**index, 3), dtype=np.uint8) for _ in range(count)]
        rows = []
        for number, array in enumerate(arrays):
            content = codec.encode(codec.resize(array, size, size), "png")
            digest = hashlib.sha256(content).hexdigest()
            rows.append({
                "id": digest, "group": digest, "image": {"bytes": content, "path": f"{number}.png"}, "domain": domain,
                "split": "train", "width": size, "height": size, "source": "benchmark", "attributes": "{}",
            })  # fmt: skip
        shards.append(write_shard(folder, pa.Table.from_pylist(rows, SCHEMA), domain, "train"))
    write_card(folder, Card(1, tuple(shards), {}))


# ---- comparing


def speed(sizes: list[int], rounds: int, steps: int) -> dict[str, Any]:
    """Every side in a process of its own, in turns."""
    sides = ("reference", "parts", "float32", "bfloat16", "reordered")
    found: dict[str, Any] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_training_set(Path(folder), size)
            runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
            for index in range(rounds):
                for side in sides if index == 0 else sides[:-1]:
                    print(f"{size}²: {side}, round {index + 1} of {rounds}", file=sys.stderr, flush=True)
                    command = [sys.executable, __file__, "--side", side, "--size", str(size), "--data", folder]
                    done = subprocess.run([*command, "--steps", str(steps)], stdout=subprocess.PIPE, check=True)
                    runs[side].append(json.loads(done.stdout))
        found[f"{size}"] = _compared(runs)
        print(json.dumps({size: found[f"{size}"]}, indent=2), flush=True)
    return found


def _compared(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    again = runs.pop("reordered")
    for side, ran in runs.items():
        seconds = [s for run in ran for s in run["seconds"]]
        low, median, high = statistics.quantiles(seconds, n=4)
        result[side] = {
            "step_s": round(median, 3),
            "quartiles_s": [round(low, 3), round(high, 3)],
            "steps": len(seconds),
        }
        if side != "parts":
            result[side] |= {
                "images_per_s": round(1 / median, 3),
                "peak_gb": round(statistics.median(run["peak_gb"] for run in ran), 2),
            }
        if "data_wait" in ran[0]:
            result[side]["data_wait"] = round(statistics.median(run["data_wait"] for run in ran), 4)
    reference = result["reference"]
    result["reference_over_its_parts"] = round(reference["step_s"] / result.pop("parts")["step_s"], 3)
    result["reference"]["differences_with_one_thread"] = _differences(again, runs)
    for side in ("float32", "bfloat16"):
        result[side]["times_faster"] = round(reference["step_s"] / result[side]["step_s"], 2)
        result[side]["memory_ratio"] = round(result[side]["peak_gb"] / reference["peak_gb"], 2)
        result[side]["differences_of_losses"] = _differences(runs[side], runs)
    return result


def _differences(ran: list[dict[str, Any]], runs: dict[str, list[dict[str, Any]]]) -> list[float]:
    """The largest relative difference from the reference's losses, step by step."""
    return [
        float(f"{max(abs(ours[n] - theirs[n]) / abs(theirs[n]) for n in theirs):.2g}")
        for ours, theirs in zip(ran[0]["losses"], runs["reference"][0]["losses"], strict=True)
    ]


def hardware() -> dict[str, Any]:
    """What this ran on."""
    return {
        "date": date.today().isoformat(),
        "processor": cpu_name(),
        "cores": os.cpu_count(),
        "bfloat16_instructions": torch.cpu._is_avx512_bf16_supported(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def main() -> None:
    """Run what is asked for, or one side of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256], help="pixels of a side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="counted steps of a process")
    parser.add_argument(
        "--side", choices=["reference", "parts", "float32", "bfloat16", "reordered"], help=argparse.SUPPRESS
    )
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side, rest = arguments.side, (arguments.size, arguments.steps, arguments.data)
        plain = {"reference": run_reference, "parts": run_parts, "reordered": run_reordered}
        ran = plain[side](*rest) if side in plain else run_engine(*rest, side)
        print(json.dumps(ran))
        return
    result = {"hardware": hardware(), "batch": 1, "sizes": speed(arguments.sizes, arguments.rounds, arguments.steps)}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "training.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
