"""Train a method in plain PyTorch: no Ray, no DVC, no dataset; two folders of pictures.

    python examples/train_plain.py photos paintings model --steps 200

The loop below is all of it: a method gives the losses of each turn, such as the generator's and the discriminator's.
`atelier.models.training.Trainer` adds averages of the weights, checkpoints, several workers and a watchdog.
"""

import argparse
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from atelier.models import artifact, encoders
from atelier.models.configs.style_statistics import CpganConfig
from atelier.models.methods import method_of
from atelier.models.methods.base import Batch, MicroBatch
from atelier.models.optimizer import new_optimizer
from atelier.models.pixels import to_float
from atelier.tasks.runtime import encoder_weights

ENCODER = "efficientnet_lite0"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path, help="folder of photographs")
    parser.add_argument("style", type=Path, help="folder of paintings")
    parser.add_argument("out", type=Path, help="model folder to write")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=128, help="px a side")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    config = CpganConfig()
    encoder = encoders.load(ENCODER, encoder_weights.resolve(ENCODER))
    method = method_of(config)(config, encoder, torch.device("cpu"), torch.float32)
    contents, styles = (pictures(f, arguments.size, arguments.batch) for f in (arguments.content, arguments.style))
    method.prepare(lambda step: Batch(next(contents), next(styles)), arguments.batch)
    trained = {turn: [p for n in names for p in method.modules[n].parameters()] for turn, names in method.turns.items()}
    optimizers = {turn: new_optimizer(config.optimizer, turn, parameters) for turn, parameters in trained.items()}

    for step in range(arguments.steps):
        content, style = (to_float(next(x), torch.device("cpu")) for x in (contents, styles))
        batch = MicroBatch(content, style, seed=0, step=step, first=0, batch_size=arguments.batch, is_whole=True)
        for turn, optimizer in optimizers.items():
            method.begin(turn, [batch])
            for losses in method.losses(turn, batch):
                weighted = [method.weights.get(name, 0.0) * loss for name, loss in losses.items()]
                torch.autograd.backward(torch.stack(weighted).sum())
            optimizer.step()
            for other in optimizers.values():
                other.zero_grad()  # the generator's gradients reach the discriminator too
        if step % 10 == 0:
            print(step, {name: round(loss.item(), 3) for name, loss in losses.items()})

    artifact.save(arguments.out, config, method.modules["generator"], {"encoder": ENCODER})


def pictures(folder: Path, size: int, batch: int) -> Iterator[Tensor]:
    """Batches (B, 3, size, size) of uint8 from the pictures of a folder, again and again."""
    found = cycle(sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"}))
    while True:
        squares = [ImageOps.fit(Image.open(next(found)).convert("RGB"), (size, size)) for _ in range(batch)]
        yield torch.from_numpy(np.stack([np.asarray(square) for square in squares])).permute(0, 3, 1, 2)


if __name__ == "__main__":
    main()
