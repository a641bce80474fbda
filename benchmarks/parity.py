"""What bfloat16 costs in quality: the same training in both precisions, beside one of another seed in float32.

    python benchmarks/parity.py PHOTOS PAINTINGS --size 64 --steps 600

CycleGAN learns from two folders of pictures, four fifths of each, three times: in float32, in
bfloat16 from the same seed (so from the same weights, on the same pictures in the same order), and in float32 from
another seed, which tells how far apart two trainings are anyway. Written are the curves of the losses and, on the
pictures held out, the Inception KID of what is painted.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from atelier.models import encoders as networks
from atelier.models.configs.loop import LoopConfig
from atelier.models.configs.translation import CycleganConfig
from atelier.models.encoders import Encoder
from atelier.models.methods.base import Batch
from atelier.models.metrics.kid import kid
from atelier.models.sampler import Order
from atelier.models.training import Trainer
from atelier.tasks.images.codec import center_square, decode
from atelier.tasks.runtime import encoder_weights
from training import RESULTS, hardware

RUNS = {"float32": ("float32", 1), "bfloat16": ("bfloat16", 1), "float32, another seed": ("float32", 2)}


def pictures(folder: Path, size: int, limit: int) -> Tensor:
    """The middle squares of a folder's pictures, uint8 (N, 3, size, size)."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})[:limit]
    found = [center_square(decode(path.read_bytes()), size) for path in paths]
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous()


def main() -> None:
    """Train three times, measure, print and write `results/parity.json` and `results/parity.svg`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path, help="folder of pictures to paint")
    parser.add_argument("style", type=Path, help="folder of paintings")
    parser.add_argument("--size", type=int, default=64, help="pixels of a side")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--filters", type=int, default=64, help="of the generators; the paper's have 64")
    parser.add_argument("--blocks", type=int, default=9, help="of the generators; the paper's have 9 at 256²")
    parser.add_argument("--pictures", type=int, default=1000, help="of each folder, at most")
    arguments = parser.parse_args()
    content, style = (pictures(f, arguments.size, arguments.pictures) for f in (arguments.content, arguments.style))
    held = [x[::5] for x in (content, style)]
    kept = [x[torch.arange(len(x)) % 5 != 0] for x in (content, style)]
    inception = networks.load("inception", encoder_weights.resolve("inception"))
    real = deep_features(inception, held[1])
    result = {
        "hardware": hardware(), "size_px": arguments.size, "steps": arguments.steps,
        "filters": arguments.filters, "blocks": arguments.blocks,
        "held_out": [len(x) for x in held],
        "kid_times_1000_of_the_photographs": round(1000 * kid(deep_features(inception, held[0]), real), 1),
    }  # fmt: skip
    curves: dict[str, dict[int, dict[str, float]]] = {}
    for name, (precision, seed) in RUNS.items():
        config = LoopConfig(
            steps=arguments.steps, batch_size=1, log_every=10, sample_every=arguments.steps, seed=seed,
            checkpoint_every=arguments.steps, precision=precision,  # type: ignore[arg-type]
        )  # fmt: skip
        encoder = networks.load("efficientnet_lite0", encoder_weights.resolve("efficientnet_lite0"))
        trainer = Trainer(CycleganConfig(filters=arguments.filters, blocks=arguments.blocks), config, encoder)
        orders = [Order(seed, role, [len(x)], len(x)) for role, x in zip(("content", "style"), kept, strict=True)]

        def batch(step: int, orders: list[Order] = orders) -> Batch:
            one = range(step, step + 1)
            rows = [[row for _, row in order.pictures(one)] for order in orders]
            return Batch(*(x[row] for x, row in zip(kept, rows, strict=True)))

        curves[name] = {}
        begin = time.perf_counter()
        trainer.run(batch, curves[name].__setitem__, lambda step: None, lambda step: None)
        seconds = time.perf_counter() - begin
        painted = torch.cat([trainer.sample(x) for x in torch.split(held[0], 16)])
        last = list(curves[name].values())[-10:]
        result[name] = {
            "kid_times_1000": round(1000 * kid(deep_features(inception, painted), real), 1),
            "training_s": round(seconds),
            "mean_of_the_last_100_steps": {k: round(float(np.mean([m[k] for m in last])), 4) for k in last[0]},
        }
        print(json.dumps({name: result[name]}, indent=2), flush=True)
    first, second, other = (np.array([[m[k] for k in LOSSES] for m in curves[name].values()]) for name in RUNS)
    result["mean_relative_difference_of_curves"] = {
        name: {k: round(float(v), 3) for k, v in zip(LOSSES, (abs(x - first).mean(0) / first.mean(0)), strict=True)}
        for name, x in (("bfloat16", second), ("another seed", other))
    }
    (RESULTS / "parity.json").write_text(json.dumps(result, indent=2) + "\n")
    (RESULTS / "parity.svg").write_text(plot(curves))
    print(json.dumps(result, indent=2))


LOSSES = ("adversarial_style", "cycle_content", "identity_style", "discriminator_style")


@torch.no_grad()
def deep_features(encoder: Encoder, images: Tensor) -> np.ndarray:
    """Inception's last features, (N, 2048)."""
    found = []
    for part in torch.split(images, 16):
        last = list(encoder(part.float() / 255).values())[-1]
        found.append((last.mean((2, 3)) if last.ndim == 4 else last).numpy())
    return np.concatenate(found)


def plot(curves: dict[str, dict[int, dict[str, float]]]) -> str:
    """One panel a loss, one line a run, as SVG."""
    colours = ("#1f6fb2", "#d1495b", "#b8b8b8")
    parts = []
    for panel, loss in enumerate(LOSSES):
        values = {name: np.array([m[loss] for m in metrics.values()]) for name, metrics in curves.items()}
        low, high = min(v.min() for v in values.values()), max(v.max() for v in values.values())
        parts.append(f'<text x="{panel * 260 + 10}" y="16">{loss} ({low:.2g} to {high:.2g})</text>')
        for (name, v), colour in reversed(list(zip(values.items(), colours, strict=True))):
            points = " ".join(
                f"{panel * 260 + 10 + 240 * i / (len(v) - 1):.1f},{160 - 135 * (y - low) / (high - low):.1f}"
                for i, y in enumerate(v)
            )
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"><title>{name}</title></polyline>')
    for index, (name, colour) in enumerate(zip(curves, colours, strict=True)):
        parts.append(f'<text x="{10 + index * 160}" y="185" fill="{colour}">{name}</text>')
    size = f'width="{260 * len(LOSSES)}" height="195" font-family="sans-serif" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{"".join(parts)}</svg>\n'


if __name__ == "__main__":
    main()
