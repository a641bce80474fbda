"""Faces at 128² from noise by `stylegan` on one GPU: one command on a bare machine; what it made is measured elsewhere.

    PYTHONPATH=src python3 benchmarks/faces_on_gpu.py FOLDER OUT --minutes 8
    python benchmarks/faces_on_gpu.py FOLDER OUT --measure

FOLDER holds CelebA's `images.zip`. The first needs torch, numpy, safetensors and Pillow, and of this project `models/`
alone; it runs on a processor too. Every fifth face is held out. OUT has the model and a grid then. The second compares
1,000 generated faces with as many that are held out, by Inception, beside as many that were trained on.
"""

import argparse
import io
import json
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from atelier.models import artifact
from atelier.models.configs.loop import LoopConfig, WatchdogConfig
from atelier.models.configs.stylegan import StyleganConfig
from atelier.models.encoders import ENCODERS
from atelier.models.methods.base import Batch
from atelier.models.training import Trainer

HELD_OUT = 5  # every one of so many
GENERATED = 1000
PROBE_STEPS, WARM_UP = 30, 10


def faces(folder: Path, size: int) -> tuple[Tensor, Tensor]:
    """Faces to train on and held out, uint8 (N, 3, size, size): the middle squares of all pictures of the archive."""
    with zipfile.ZipFile(folder / "images.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".png")))
        every = torch.stack([_square(archive.read(name), size) for name in names])
    held_out = torch.arange(len(every)) % HELD_OUT == 0
    return every[~held_out], every[held_out]


def _square(data: bytes, size: int) -> Tensor:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)


class Batches:
    """Random faces, half of them mirrored, on the device: a function of the step."""

    def __init__(self, pictures: Tensor, batch: int) -> None:
        self.pictures, self.batch = pictures, batch

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        draws = torch.Generator().manual_seed(step)
        rows = torch.randint(len(self.pictures), (self.batch,), generator=draws).to(self.pictures.device)
        mirrored = torch.rand(self.batch, generator=draws).to(rows.device) < 0.5
        chosen = self.pictures[rows]
        chosen = torch.where(mirrored[:, None, None, None], chosen.flip(3), chosen)
        return Batch(chosen, chosen)


def train(folder: Path, out: Path, *, minutes: float, size: int, batch: int, filters: int) -> None:
    """Train for some minutes, of which decoding and the probe are a part; write the model and a grid."""
    begin = time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pictures, _ = faces(folder, size)
    batches = Batches(pictures.to(device), batch)
    config = StyleganConfig(size_px=size, filters=filters, discriminator_filters=filters)
    encoder = ENCODERS["efficientnet_lite0"]()  # the plain discriminator does not look through it

    def run(steps: int, log: int) -> tuple[Trainer, list[float]]:
        loop = LoopConfig(
            steps=steps, batch_size=batch, ema_half_life_steps=10_000 / batch, decay_from=0.7, log_every=log,
            checkpoint_every=steps, sample_every=steps, watchdog=WatchdogConfig(enabled=False),
        )  # fmt: skip
        trainer, marks = Trainer(config, loop, encoder, device), []

        def tell(step: int, metrics: dict[str, float]) -> None:
            marks.append(time.monotonic())
            if log > 1:
                shown = {name: round(value, 3) for name, value in metrics.items() if not name.endswith("_lr")}
                print(f"{step}/{steps}", f"{(marks[-1] - begin) / 60:.1f} min", shown, flush=True)

        trainer.run(batches, tell, lambda step: None, lambda step: None)
        return trainer, marks

    _, marks = run(PROBE_STEPS, 1)
    each = (marks[-1] - marks[WARM_UP]) / (PROBE_STEPS - 1 - WARM_UP)
    steps = max(1, int((60 * minutes - (time.monotonic() - begin)) / each))
    trainer, marks = run(steps, max(1, steps // 40))
    out.mkdir(parents=True, exist_ok=True)
    artifact.save(out, config, trainer.generator_ema.cpu(), {})
    summary = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "processor",
        "steps": steps, "pictures": steps * batch, "pictures_per_s": round(batch / each, 1),
        "minutes": round((marks[-1] - begin) / 60, 2), "torch": torch.__version__, "precision": trainer.precision,
    }  # fmt: skip
    (out / "training.json").write_text(json.dumps(summary, indent=2) + "\n")
    grid = made(out, 60).view(6, 10, 3, size, size).permute(0, 3, 1, 4, 2).reshape(6 * size, 10 * size, 3)
    Image.fromarray(grid.numpy()).save(out / "grid.png")
    print(summary)


def made(model: Path, count: int) -> Tensor:
    """The first pictures of a model, uint8 (count, 3, size, size)."""
    trained = artifact.load(model)
    return torch.cat([trained.generate(0, range(i, min(i + 20, count))) for i in range(0, count, 20)])


def measure(folder: Path, out: Path, size: int) -> None:
    """Put what the model's faces measure into `results/methods.json`."""
    # what the command on the bare machine does not have
    from atelier.models import encoders as networks
    from atelier.tasks.runtime import encoder_weights
    from faces_generated import measured
    from methods import record
    from parity import deep_features

    inception = networks.load("inception", encoder_weights.resolve("inception"))
    training, held_out = (deep_features(inception, part[:GENERATED]) for part in faces(folder, size))
    record(f"faces from noise, {size} px", {
        "training": json.loads((out / "training.json").read_text()),
        "real training faces": measured(training, held_out),
        "stylegan": measured(deep_features(inception, made(out, GENERATED)), held_out),
    })  # fmt: skip


def main() -> None:
    """Train, or measure what was trained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--measure", action="store_true", help="measure what OUT holds, instead of training")
    given = parser.parse_args()
    if given.measure:
        measure(given.folder, given.out, given.size)
    else:
        train(given.folder, given.out, minutes=given.minutes, size=given.size, batch=given.batch, filters=given.filters)


if __name__ == "__main__":
    main()
