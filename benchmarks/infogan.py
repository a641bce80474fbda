"""Digits whose kind and slant are codes: `infogan` on MNIST without its labels, and what each code has come to mean.

    nice python benchmarks/infogan.py MNIST --keep WORK

MNIST holds `t10k-images-idx3-ubyte.gz` and `t10k-labels-idx1-ubyte.gz`: 10,000 digits, split once into 8,000 to train
on and 2,000 held out. A classifier is trained on the 8,000 with their labels; it had no part in the generator's
training, and its own accuracy on the 2,000 is measured. Of each seed 5,000 pictures are generated: by one half
categories are assigned to digits, on the other the share that is right is measured. What is stopped goes on exactly
where it was. `results/infogan.json` gets all figures, WORK a sheet of traversals for each seed.
"""

import argparse
import gzip
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models.checkpoint import load_checkpoint, save_checkpoint
from atelier.models.codes import number, traversed
from atelier.models.configs.gan import InfoganConfig
from atelier.models.configs.loop import LoopConfig, WatchdogConfig
from atelier.models.encoders.efficientnet_lite0 import EfficientNetLite0
from atelier.models.methods.base import Batch
from atelier.models.metrics.disentanglement import assignment_accuracy, information_gap, rank_correlation, slant
from atelier.models.networks.infogan import code_values
from atelier.models.random_draws import noise
from atelier.models.sampler import Order
from atelier.models.training import Trainer
from atelier.tasks.images import codec
from atelier.tasks.images.contact_sheet import contact_sheet
from training import RESULTS, hardware

SIDE, HELD_OUT, DIGITS = 32, 2000, 10
GENERATED, TRAVERSED, STEPS = 5000, 200, 9  # pictures; traversals of a code, and pictures of each
CONFIG = InfoganConfig(size_px=SIDE)
LOOP = LoopConfig(
    steps=2000, batch_size=64, checkpoint_every=500, sample_every=10**9, watchdog=WatchdogConfig(enabled=False)
)


def mnist(folder: Path) -> tuple[Tensor, Tensor]:
    """The digits, uint8 (N, 3, SIDE, SIDE), and their labels (N,), shuffled once."""
    images = np.frombuffer(gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    order = np.random.default_rng(0).permutation(len(labels))
    edge = (SIDE - 28) // 2
    pictures = np.pad(images.reshape(-1, 28, 28)[order], ((0, 0), (edge, edge), (edge, edge)))
    gray = torch.from_numpy(pictures)[:, None].expand(-1, 3, -1, -1).contiguous()
    return gray, torch.from_numpy(labels[order].astype(np.int64))


def light(pictures: Tensor) -> Tensor:
    """uint8 (B, 3, H, W) as (B, 1, H, W) in [0, 1]."""
    return pictures.float().mean(1, keepdim=True) / 255


def classifier(pictures: Tensor, labels: Tensor, path: Path) -> nn.Module:
    """A convolutional classifier of (B, 1, SIDE, SIDE), trained once on digits that are moved by up to two pixels."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for last, out in ((1, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(last, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.4), nn.Linear(128 * 16, DIGITS))
    if path.is_file():
        network.load_state_dict(torch.load(path, weights_only=True))
        return network.eval()
    epochs, size = 10, 128
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, epochs * (len(pictures) // size))
    for _ in range(epochs):
        order = torch.randperm(len(pictures))
        for rows in torch.split(order, size)[: len(pictures) // size]:
            shift = torch.randint(-2, 3, (2,)).tolist()
            told = network(light(pictures[rows]).roll(shift, (2, 3)))
            optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(told, labels[rows], label_smoothing=0.05))
            optimizer.step()
            schedule.step()
    torch.save(network.state_dict(), path)
    return network.eval()


@torch.inference_mode()
def digits(network: nn.Module, pictures: Tensor) -> np.ndarray:
    """What a classifier reads in uint8 pictures, (N,)."""
    return torch.cat([network(light(part)).argmax(1) for part in torch.split(pictures, 500)]).numpy()


def trained(config: InfoganConfig, loop: LoopConfig, pictures: Tensor, folder: Path) -> artifact.TrainedModel:
    """Train, or go on, and keep the model."""
    if (folder / "model" / "model.json").is_file():
        return artifact.load(folder / "model")
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config, loop, EfficientNetLite0())
    state, log = folder / "state.safetensors", folder / "log.jsonl"
    if state.is_file():
        load_checkpoint(state, trainer)
    order = Order(loop.seed, "style", [len(pictures)], len(pictures))

    def batch(step: int) -> Batch:
        rows = [row for _, row in order.pictures(range(step * loop.batch_size, (step + 1) * loop.batch_size))]
        return Batch(pictures[rows], pictures[rows])

    def on_step(step: int, losses: dict[str, float]) -> None:
        with log.open("a") as file:
            file.write(json.dumps({"step": step, "seconds": time.process_time(), **losses}) + "\n")

    trainer.run(batch, on_step, lambda step: save_checkpoint(state, trainer), lambda step: None)
    artifact.save(folder / "model", config, trainer.generator_ema, {"steps": loop.steps, "seed": loop.seed})
    return artifact.load(folder / "model")


def made(model: artifact.TrainedModel, numbers: Tensor) -> Tensor:
    """Pictures of noise (N, noise)."""
    return torch.cat([model.from_noise(part) for part in torch.split(numbers, 250)])


def measured(model: artifact.TrainedModel, read: Callable[[Tensor], np.ndarray]) -> dict[str, Any]:
    """What the codes of a model mean, for pictures that it made."""
    codes = model.config.codes
    drawn = noise(0, range(GENERATED), model.config.noise)
    values, pictures = code_values(drawn, codes).numpy(), made(model, drawn)
    classes, slants = read(pictures), slant(light(pictures)[:, 0].double().numpy())
    kinds = values[:, 0].astype(np.int64)
    half = GENERATED // 2
    _, of = assignment_accuracy(kinds[:half], classes[:half], DIGITS)
    table = np.zeros((DIGITS, DIGITS), np.int64)
    np.add.at(table, (kinds, classes), 1)
    bins = np.stack([values[:, c] if n else np.clip((values[:, c] + 2) * 2.5, 0, 9) for c, n in enumerate(codes)], 1)
    edges = np.quantile(slants, np.linspace(0, 1, DIGITS + 1)[1:-1])
    gaps = information_gap(bins.astype(np.int64), np.stack([classes, np.digitize(slants, edges)], 1))
    return {
        "digit": round(float((np.array(of)[kinds[half:]] == classes[half:]).mean()), 4),
        "digit_of_category": of,
        "share_of_category": [round(float(row.max() / row.sum()), 3) for row in table],
        "most_of_category": table.argmax(1).tolist(),
        "slant": {str(code): along(model, code) for code, count in enumerate(codes) if not count},
        "slant_of_all": {
            str(code): round(rank_correlation(values[:, code].astype(float), slants), 3)
            for code, count in enumerate(codes)
            if not count
        },
        "information_gap": {"digit": round(float(gaps[0]), 3), "slant": round(float(gaps[1]), 3)},
    }


def along(model: artifact.TrainedModel, code: int) -> dict[str, float]:
    """Spearman's ρ of a code and the slant, of pictures that differ in this code alone: over many traversals."""
    base = noise(1, range(TRAVERSED), model.config.noise)
    numbers = base.repeat_interleave(STEPS, 0)
    values = traversed(0, STEPS)
    numbers[:, code] = torch.tensor([number(0, value) for value in values]).repeat(TRAVERSED)
    slants = slant(light(made(model, numbers))[:, 0].double().numpy()).reshape(TRAVERSED, STEPS)
    found = [rank_correlation(np.array(values), one) for one in slants]
    return {
        "median": round(statistics.median(found), 3),
        "mean": round(statistics.fmean(found), 3),
        "from": round(float(np.median(slants[:, 0])), 3),
        "to": round(float(np.median(slants[:, -1])), 3),
    }


def sheet(model: artifact.TrainedModel, path: Path) -> None:
    """A row for each of five noises, all categories; then for each continuous code."""
    rows, names = [], []
    for code, count in enumerate(model.config.codes):
        values = traversed(count, DIGITS)
        for base in noise(2, range(5), model.config.noise):
            numbers = base.repeat(len(values), 1)
            numbers[:, code] = torch.tensor([number(count, value) for value in values])
            rows.append(list(made(model, numbers).permute(0, 2, 3, 1).numpy()))
            names.append(f"code {code}")
    path.write_bytes(codec.encode(contact_sheet(rows, names, cell_px=48), "png"))


def main() -> None:
    """Train and measure each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mnist", type=Path)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=LOOP.steps)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.keep.mkdir(parents=True, exist_ok=True)
    pictures, labels = mnist(arguments.mnist)
    network = classifier(pictures[HELD_OUT:], labels[HELD_OUT:], arguments.keep / "classifier.pt")
    told = digits(network, pictures[:HELD_OUT])
    result: dict[str, Any] = {
        "hardware": hardware(),
        "steps": arguments.steps,
        "batch": LOOP.batch_size,
        "classifier_on_held_out": round(float((told == labels[:HELD_OUT].numpy()).mean()), 4),
        "seeds": {},
    }
    for seed in arguments.seeds:
        folder = arguments.keep / f"seed-{seed}"
        model = trained(CONFIG, replace(LOOP, seed=seed, steps=arguments.steps), pictures[HELD_OUT:], folder)
        found = measured(model, lambda made: digits(network, made))
        sheet(model, arguments.keep / f"seed-{seed}.png")
        result["seeds"][str(seed)] = found
        print(seed, json.dumps(found))
    result["median"] = {
        "digit": statistics.median(one["digit"] for one in result["seeds"].values()),
        "slant": statistics.median(
            max(abs(code["median"]) for code in one["slant"].values()) for one in result["seeds"].values()
        ),
    }
    print(result["median"])
    (RESULTS / "infogan.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
