"""What the layers of a `stylegan` of faces decide on: attributes, pose and colours of mixed latents.

    python benchmarks/mixing.py MODEL DATASET --keep WORK

MODEL is an artifact, DATASET the ingested faces it was trained on. Two faces from noise are mixed: the first layers
have the latent of one, the others that of another (Karras et al. 2019, section 3.1). A classifier that was trained on
real faces says whether an attribute that only the one has is seen in the mixture: the share is that of pairs. Pose is
where a face's axis of symmetry lies, colour is the mean of the picture; of both, Spearman's ρ with each parent. A
colour attribute, such as light or warm, is had by the half of the pictures that has more of it; it is transferred as
the others are, and half of the mixtures have it where the layers do not matter. A sheet of mixtures is written to WORK.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atelier.models import artifact
from atelier.models.metrics import attributes as metric
from atelier.models.metrics.disentanglement import rank_correlation
from atelier.models.random_draws import noise
from atelier.tasks.dataset.labels import labels_of
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.dataset.subsets import files, held_out_pictures, training_pictures
from atelier.tasks.evaluation.measures import center_squares
from atelier.tasks.images import codec
from atelier.tasks.images.contact_sheet import contact_sheet
from methods import record

NAMES = ("Bangs", "Black_Hair", "Blond_Hair", "Eyeglasses", "Male", "Mouth_Slightly_Open", "Smiling", "Wearing_Hat")
COLOURS = ("light", "warm", "red", "green", "blue")  # of the mean colour, see `colour_values`
FACES = 2000
PAIRS = 400  # of an attribute at most; and those that pose and colour are measured on
TRAINED_ON, HELD_OUT = 6000, 1000
REACH = 10  # px: how far from the middle an axis of symmetry may lie


def pictures_of(dataset: Path, split: str) -> tuple[Tensor, NDArray[np.bool_]]:
    """Real faces uint8 (N, 3, 64, 64) and their attributes (N, A)."""
    card = read_card(dataset)
    if split == "train":
        rows = [row for shard in training_pictures(dataset, card, "faces", TRAINED_ON) for row in shard]
    else:
        rows = list(held_out_pictures(dataset, card, "faces", HELD_OUT))
    truth = labels_of((row.attributes for row in rows), NAMES, "faces")
    return center_squares(files(rows), 64), np.asarray(truth) > 0


def axes(pictures: Tensor) -> NDArray[np.float64]:
    """Where each picture (N, 3, H, W) is most like its mirror image, (N,) in half pixels from the middle."""
    grey = pictures.float().mean(1)[:, 16:56]  # (N, 40, W), where faces are
    width, costs = grey.shape[2], []
    for shift in range(-REACH, REACH + 1):
        low, high = max(0, shift), min(width, width + shift)
        mirrored = grey.flip(2)[:, :, low - shift : high - shift]
        costs.append((grey[:, :, low:high] - mirrored).square().mean((1, 2)))
    return np.asarray(torch.stack(costs).argmin(0).double()) - REACH


def colours(pictures: Tensor) -> NDArray[np.float64]:
    """Mean red, green and blue, (N, 3)."""
    return np.asarray(pictures.double().mean((2, 3)))


def colour_values(pictures: Tensor) -> NDArray[np.float64]:
    """How much of `COLOURS` pictures have, (N, 5): mean luminance; red minus blue, and each channel, relative to it."""
    means = colours(pictures)
    light = means @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    return np.column_stack([light, (means[:, 0] - means[:, 2]) / light, means / light[:, None]])


def colour_transfer(made: Callable[[Tensor], Tensor], latents: Tensor, faces: Tensor, layer: int) -> dict[str, Any]:
    """Of mixtures of a face that has a colour attribute and one that lacks it, how many have it, by whose layers."""
    values, random = colour_values(faces), np.random.default_rng(layer)
    middle = np.median(values, 0)
    row = {}
    for index, name in enumerate(COLOURS):
        has, lacks = (np.flatnonzero((values[:, index] > middle[index]) == value) for value in (True, False))
        one, other = (latents[random.choice(of, PAIRS, replace=False)] for of in (has, lacks))
        first, last = (
            float((colour_values(made(mixed(*pair, layer)))[:, index] > middle[index]).mean())
            for pair in ((one, other), (other, one))
        )
        row[name] = {"by_first_layers": round(first, 3), "by_last_layers": round(last, 3)}
    return row


def measured(model: Path, dataset: Path, keep: Path) -> dict[str, Any]:
    """Transfer of attributes, and correlations of pose and colour, by the layer at which the second latent begins."""
    trained = artifact.load(model)
    method, config, network = trained.method, trained.config, trained.generator
    classifier = metric.learn(*(torch.as_tensor(x) for x in pictures_of(dataset, "train")))
    real, truth = pictures_of(dataset, "holdout")
    accuracies = metric.accuracies(metric.predict(classifier, real), truth, NAMES)

    def made(latents: Tensor) -> Tensor:
        return torch.cat([method.generate(config, network, part) for part in torch.split(latents, 50)])

    latents = method.latents(config, network, noise(0, range(FACES), config.noise))  # (N, layers, latent)
    faces = made(latents)
    seen = metric.predict(classifier, faces)  # (N, A)
    random = np.random.default_rng(0)
    result: dict[str, Any] = {
        "classifier_balanced_accuracy": {name: round(accuracies[name].balanced, 3) for name in NAMES},
        "share_of_generated": {name: round(float(seen[:, i].mean()), 3) for i, name in enumerate(NAMES)},
        "begins_at_layer": {},
    }
    couples = random.permutation(FACES)[: 2 * PAIRS].reshape(2, PAIRS)
    parents = [(axes(faces[one]), colours(faces[one])) for one in couples]
    for layer in range(1, config.layers):
        row: dict[str, Any] = {}
        for index, name in enumerate(NAMES):
            has, lacks = (np.flatnonzero(seen[:, index] == value) for value in (True, False))
            if len(has) < 20:
                continue  # too few for a share
            count = min(PAIRS, len(has))
            one, other = random.choice(has, count, replace=False), random.choice(lacks, count, replace=False)
            first = metric.predict(classifier, made(mixed(latents[one], latents[other], layer)))[:, index].mean()
            last = metric.predict(classifier, made(mixed(latents[other], latents[one], layer)))[:, index].mean()
            row[name] = {"by_first_layers": round(float(first), 3), "by_last_layers": round(float(last), 3)}
        row |= colour_transfer(made, latents, faces, layer)
        mixture = made(mixed(latents[couples[0]], latents[couples[1]], layer))
        axis, colour = axes(mixture), colours(mixture)
        for parent, (its_axis, its_colour) in zip(("first", "last"), parents, strict=True):
            row[f"pose_as_{parent}"] = round(rank_correlation(axis, its_axis), 2)
            each = [rank_correlation(colour[:, c], its_colour[:, c]) for c in range(3)]
            row[f"colour_as_{parent}"] = round(float(np.mean(each)), 2)
        result["begins_at_layer"][layer] = row
        print(layer, row, flush=True)
    columns, rows = range(100, 108), range(200, 206)
    cells = [[tile(faces[i]) for i in columns]]
    for j in rows:
        sheet = made(torch.stack([mixed(latents[[i]], latents[[j]], config.layers // 2)[0] for i in columns]))
        cells.append([tile(x) for x in sheet])
    keep.mkdir(parents=True, exist_ok=True)
    (keep / "mixing.png").write_bytes(codec.encode(contact_sheet(cells, cell_px=96), "png"))
    return result


def mixed(first: Tensor, last: Tensor, layer: int) -> Tensor:
    """Latents (N, layers, latent): the first's before a layer, the last's from there on."""
    return torch.cat([first[:, :layer], last[:, layer:]], 1)


def tile(picture: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) to (H, W, 3)."""
    return np.asarray(picture.permute(1, 2, 0))


def main() -> None:
    """Measure, write `results/methods.json` and a sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--keep", type=Path, required=True)
    arguments = parser.parse_args()
    record("mixing", measured(arguments.model, arguments.dataset, arguments.keep))


if __name__ == "__main__":
    main()
