"""Faces that a VAE gives back: losses in an encoder's features, and pixels alone, after equal processor time.

    nice python benchmarks/vae.py CELEBA --keep WORK --minutes 3

CELEBA holds `images.zip`. Its first 7,200 faces are trained on at 64 px, the last 800 are held out: they are
reconstructed, and compared with themselves by LPIPS in AlexNet, which is in no loss (the losses are in the embedded
EfficientNet), PSNR and SSIM. The faces are for research only: sheets stay in WORK. What is stopped goes on exactly
where it was.
"""

import argparse
import json
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atelier.models import artifact
from atelier.models import encoders as networks
from atelier.models.checkpoint import load_checkpoint, save_checkpoint
from atelier.models.configs.gan import VaeConfig
from atelier.models.configs.loop import LoopConfig, WatchdogConfig
from atelier.models.encoders.calibrated import Calibrated
from atelier.models.methods.base import Batch
from atelier.models.metrics.lpips import lpips
from atelier.models.metrics.psnr import psnr
from atelier.models.metrics.ssim import ssim
from atelier.models.pixels import luminance
from atelier.models.sampler import Order
from atelier.models.training import Trainer
from atelier.tasks.images import codec
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.runtime import encoder_weights
from training import RESULTS, hardware

SIDE, HELD_OUT, SHOWN, BATCH, PROBE = 64, 800, 10, 16, 6
LOOP = LoopConfig(batch_size=BATCH, checkpoint_every=100, sample_every=10**9, watchdog=WatchdogConfig(enabled=False))
PERCEPTUAL = VaeConfig(size_px=SIDE)
CONTENDERS = {
    "pixels alone": replace(PERCEPTUAL, perceptual_weight=0.0),
    "features": PERCEPTUAL,
    "features of eight times the weight": replace(PERCEPTUAL, perceptual_weight=8.0),
    "features and a discriminator": replace(PERCEPTUAL, adversarial_weight=0.02),
}


def faces(folder: Path, kept: Path) -> Tensor:
    """All faces, uint8 (N, 3, SIDE, SIDE); small copies are kept."""
    if not kept.is_file():
        with zipfile.ZipFile(folder / "images.zip") as archive:
            names = sorted(archive.namelist())
            pictures = np.stack([codec.center_square(codec.decode(archive.read(name)), SIDE) for name in names])
        np.save(kept, pictures)
    return torch.from_numpy(np.load(kept)).permute(0, 3, 1, 2).contiguous()


def batch_of(pictures: Tensor, order: Order, step: int) -> Batch:
    """The faces of a step."""
    rows = [row for _, row in order.pictures(range(step * BATCH, (step + 1) * BATCH))]
    return Batch(pictures[rows], pictures[rows])


def nothing(*_: object) -> None:
    """A callback that does nothing."""


def trained(config: VaeConfig, minutes: float, pictures: Tensor, folder: Path) -> artifact.TrainedModel:
    """Train for about so many minutes of processor time, or go on, and keep the model."""
    if (folder / "model" / "model.json").is_file():
        return artifact.load(folder / "model")
    folder.mkdir(parents=True, exist_ok=True)
    encoder = networks.load("efficientnet_lite0", encoder_weights.resolve("efficientnet_lite0"))
    order = Order(0, "style", [len(pictures)], len(pictures))
    plan, state = folder / "plan.json", folder / "state.safetensors"
    if not plan.is_file():
        probe = Trainer(config, replace(LOOP, steps=PROBE), encoder)
        probe.run(lambda step: batch_of(pictures, order, step), nothing, nothing, nothing)
        begun = time.process_time()
        probe = Trainer(config, replace(LOOP, steps=PROBE), encoder)
        probe.run(lambda step: batch_of(pictures, order, step), nothing, nothing, nothing)
        seconds = (time.process_time() - begun) / PROBE
        plan.write_text(json.dumps({"seconds_a_step": round(seconds, 4), "steps": round(60 * minutes / seconds)}))
    steps: int = json.loads(plan.read_text())["steps"]
    trainer = Trainer(config, replace(LOOP, steps=steps), encoder)
    if state.is_file():
        load_checkpoint(state, trainer)

    def on_step(step: int, losses: dict[str, float]) -> None:
        with (folder / "log.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, "seconds": time.process_time(), **losses}) + "\n")

    trainer.run(
        lambda step: batch_of(pictures, order, step), on_step, lambda step: save_checkpoint(state, trainer), nothing
    )
    artifact.save(folder / "model", config, trainer.generator_ema, {"steps": steps})
    return artifact.load(folder / "model")


@torch.inference_mode()
def measured(model: artifact.TrainedModel, pictures: Tensor, judge: Calibrated) -> dict[str, Any]:
    """Means over held-out faces, and the 95 % interval of LPIPS."""
    found: dict[str, list[Tensor]] = {"lpips": [], "psnr": [], "ssim": []}
    for real in torch.split(pictures, 50):
        made = model.reconstruct(real)
        x, y = made / 255, real / 255
        found["lpips"].append(lpips(judge, x, y))
        found["psnr"].append(psnr(x, y))
        found["ssim"].append(ssim(luminance(x), luminance(y)))
    values = {name: torch.cat(parts).double() for name, parts in found.items()}
    half = 1.96 * float(values["lpips"].std() / len(pictures) ** 0.5)
    return {name: round(float(of.mean()), 4) for name, of in values.items()} | {"lpips_half_interval": round(half, 4)}


def sheet(models: dict[str, artifact.TrainedModel], pictures: Tensor, path: Path) -> None:
    """Held-out faces, what each model makes of them, and what it makes from noise."""
    shown = pictures[:SHOWN]
    rows = {"held-out": shown}
    rows |= {name: model.reconstruct(shown) for name, model in models.items()}
    rows |= {f"{name}, from noise": model.generate(0, range(SHOWN)) for name, model in models.items()}
    cells = [list(x.permute(0, 2, 3, 1).numpy()) for x in rows.values()]
    path.write_bytes(codec.encode(contact_sheet(cells, list(rows), cell_px=96), "png"))


def main() -> None:
    """Train and measure each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("celeba", type=Path)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=3.0, help="of processor time, each")
    parser.add_argument("--only", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.keep.mkdir(parents=True, exist_ok=True)
    pictures = faces(arguments.celeba, arguments.keep / "faces.npy")
    judge = networks.load("alexnet", encoder_weights.resolve("alexnet"))
    assert isinstance(judge, Calibrated)
    result: dict[str, Any] = {"hardware": hardware(), "minutes_of_processor_time": arguments.minutes, "batch": BATCH}
    models = {}
    for name in arguments.only:
        folder = arguments.keep / name.replace(" ", "-")
        models[name] = trained(CONTENDERS[name], arguments.minutes, pictures[:-HELD_OUT], folder)
        result[name] = measured(models[name], pictures[-HELD_OUT:], judge)
        result[name] |= json.loads((folder / "plan.json").read_text())
        print(name, result[name], flush=True)
    plain = result.get("pixels alone", {}).get("lpips")
    for name in models:
        if plain and name != "pixels alone":
            result[name]["lpips_ratio"] = round(result[name]["lpips"] / plain, 3)
            print(name, "LPIPS relative to pixels alone:", result[name]["lpips_ratio"])
    sheet(models, pictures[-HELD_OUT:], arguments.keep / "faces.png")
    (RESULTS / "vae.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
