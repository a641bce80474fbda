"""How far generated faces are from held-out ones: real ones, noise, and those of models trained briefly and for long.

    python benchmarks/first_generators.py DATASET --model stylegan=FOLDER --model untrained=FOLDER --keep WORK

DATASET holds ingested faces. The default of `gate.max_mean_distance` comes from here. For several numbers of pictures:
the distance of means, and coverage, each the mean over draws of the pictures. A grid of each is written to WORK.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models import encoders as networks
from atelier.models.metrics.fid import mean_distance
from atelier.models.metrics.manifold import precision_recall
from atelier.models.metrics.mmd import Array
from atelier.tasks.images import codec
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.runtime import encoder_weights
from faces import SIZE, faces
from methods import record
from parity import deep_features

ENCODER = "efficientnet_lite0"  # that of the measurement
PICTURES = 120  # as many as `evaluate.pictures`
NUMBERS = (24, 60, PICTURES)
DRAWS = 20  # of as many generated and held-out pictures
SHOWN = 10
COARSE_PX = 16  # side of blurred pictures


def controls(train: Tensor) -> dict[str, Tensor]:
    """Real training faces uint8 (N, 3, S, S), and pictures that are none."""
    random = torch.Generator().manual_seed(0)
    shape = (PICTURES, 3, SIZE, SIZE)
    mean = train.float().mean(0)
    blurred = F.interpolate(train[:PICTURES].float(), (COARSE_PX, COARSE_PX), mode="area")
    return {
        "real training faces": train[:PICTURES],
        f"these at {COARSE_PX} px, enlarged": F.interpolate(blurred, (SIZE, SIZE), mode="bilinear").byte(),
        "the mean face": (mean + 2 * torch.randn(shape, generator=random)).clamp(0, 255).byte(),
        "white noise": torch.randint(0, 256, shape, generator=random, dtype=torch.uint8),
    }


def distances(made: Array, real: Array) -> dict[str, dict[int, float]]:
    """Distance of means and coverage by the number of pictures, from features (N, D) of both."""
    random = np.random.default_rng(0)
    found: dict[str, dict[int, float]] = {"mean_distance": {}, "coverage": {}}
    for count in NUMBERS:
        each = []
        for _ in range(1 if count == len(real) else DRAWS):
            x, y = (of[random.choice(len(of), count, replace=False)] for of in (made, real))
            each.append((mean_distance(x, y), precision_recall(x, y).coverage))
        for of, value in zip(found.values(), np.mean(each, 0).tolist(), strict=True):
            of[count] = round(value, 3)
    return found


def main() -> None:
    """Measure, write `results/methods.json` and a grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--keep", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sets = controls(faces(arguments.dataset, "train"))
    for name, _, folder in (one.partition("=") for one in arguments.model):
        sets[name] = artifact.load(Path(folder)).generate(0, range(PICTURES))
    held_out = faces(arguments.dataset, "holdout")[:PICTURES]
    arguments.keep.mkdir(parents=True, exist_ok=True)
    cells = [list(x[:SHOWN].permute(0, 2, 3, 1).numpy()) for x in sets.values()]
    (arguments.keep / "first_generators.png").write_bytes(
        codec.encode(contact_sheet(cells, list(sets), cell_px=96), "png")
    )
    network = networks.load(ENCODER, encoder_weights.resolve(ENCODER))
    with torch.inference_mode():
        real = deep_features(network, held_out).astype(float)
        result = {
            name: distances(deep_features(network, pictures).astype(float), real) for name, pictures in sets.items()
        }
    for name, found in result.items():
        print(name, found)
    record("first generators", result)


if __name__ == "__main__":
    main()
