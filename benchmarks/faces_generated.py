"""Faces at 64² from noise by `stylegan`, its families of discriminators at equal minutes, and `dcgan`.

    python benchmarks/faces_generated.py FOLDER --keep WORK --minutes 120 --methods stylegan

FOLDER holds CelebA's `images.zip` and `list_attr_celeba.txt`. A fifth of the faces is held out by ingestion,
and what is generated is compared with them in Inception's features: FID, KID with its interval, precision, recall,
density and coverage. A real row says what training faces have. What is finished is kept in WORK: the same command goes
on.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from atelier.models import encoders as networks
from atelier.models.metrics.fid import frechet
from atelier.models.metrics.kid import kid
from atelier.models.metrics.manifold import precision_recall
from atelier.models.metrics.mmd import Array
from atelier.tasks.runtime import encoder_weights
from atelier.tasks.workspace.create import init
from faces import GENERATED, SIZE, faces, from_noise, params
from methods import Contender, arguments_of, in_processes, record, workspace
from parity import deep_features

RESAMPLES = 100  # of KID, of SUBSET pictures each
SUBSET = 500
COPIES = 6  # of each face, mirrored half of the time: a discriminator learns a single one by heart
ALIKE: dict[str, Any] = {
    "batch": 16, "content": "faces", "style": "faces", "encoder": "efficientnet_lite0_deep",
    "loop": {"ema_half_life_steps": 600.0, "decay_from": 0.7},
}  # fmt: skip
PLAIN: dict[str, Any] = {"size_px": SIZE, "mixing": 0.5, "diffaugment": ["translation"]}
CONTENDERS = {
    "stylegan": Contender("stylegan", PLAIN, **ALIKE),
    "stylegan-r3gan": Contender(
        "stylegan", PLAIN | {"adversarial": "relativistic", "r1_weight": 0.2, "r2_weight": 0.2}, **ALIKE
    ),
    "stylegan-projected": Contender(
        "stylegan",
        PLAIN | {"discriminator": "projected", "discriminator_filters": 64, "adversarial": "hinge", "r1_weight": 0.0,
                 "optimizer": {"generator_lr": 2e-3, "discriminator_lr": 5e-4, "beta1": 0.0, "beta2": 0.99}},
        **ALIKE,
    ),
    "dcgan": Contender("dcgan", {"size_px": SIZE}, batch=16, content="faces", style="faces"),
}  # fmt: skip


def measured(made: Array, real: Array) -> dict[str, Any]:
    """What features of generated pictures (N, 2048) say beside those of real ones (M, 2048)."""
    random = np.random.default_rng(0)
    subsets = [[x[random.choice(len(x), SUBSET, replace=False)] for x in (made, real)] for _ in range(RESAMPLES)]
    kids = [1000 * kid(*pair) for pair in subsets]
    return {
        "fid": round(frechet(made, real), 1),
        "kid_times_1000": round(1000 * kid(made, real), 1),
        "kid_interval": [round(float(x), 1) for x in np.percentile(kids, [2.5, 97.5])],
        **{name: round(value, 3) for name, value in precision_recall(made, real)._asdict().items()},
    }


def generated(models: dict[str, Path], dataset: Path, keep: Path) -> dict[str, Any]:
    """The measures of each model, and of real training faces; writes a grid of each model."""
    inception = networks.load("inception", encoder_weights.resolve("inception"))

    def seen(name: str, pictures: Tensor) -> Array:
        path = keep / f"features-{name}.npy"
        if not path.is_file():
            np.save(path, deep_features(inception, pictures))
        return np.asarray(np.load(path))

    real = seen("held-out", faces(dataset, "holdout")[:GENERATED])
    result = {"real training faces": measured(seen("train", faces(dataset, "train")[:GENERATED]), real)}
    for name, model in models.items():
        result[name] = measured(seen(name, from_noise(model, keep / f"{name}.png")), real)
    return result


def main() -> None:
    """Train, measure, write `results/methods.json` and grids."""
    arguments = arguments_of(__doc__, "folder").parse_args()
    keep = arguments.keep.resolve()
    root = keep / "faces"
    if not (root / "params.yaml").is_file():
        init(root, params(arguments.folder.resolve()))
    workspace(root, [], {"augment.copies": COPIES})
    names = arguments.methods or list(CONTENDERS)
    in_processes(names, CONTENDERS, root / "data" / "augmented", keep / "methods", arguments.minutes)
    models = {name: keep / "methods" / name / "model" for name in names}
    record(f"faces from noise, {arguments.minutes:g} minutes", {
        "minutes_of_processor_time": arguments.minutes, "size_px": SIZE,
        "generated": GENERATED, "held_out": GENERATED,
        "training": {n: json.loads((keep / "methods" / n / "training.json").read_text()) for n in names},
        "from_noise": generated(models, root / "data" / "dataset", keep),
    })  # fmt: skip


if __name__ == "__main__":
    main()
