"""Faces at 64²: attributes by `stargan`, faces from noise by `dcgan` and `gan`, and how good they are.

    python benchmarks/faces.py FOLDER --keep WORK

FOLDER holds CelebA's `images.zip` and `list_attr_celeba.txt`. A fifth of the faces is held out by ingestion. How often
attributes are given, and what is left of the face, is measured as `atelier evaluate --models` does. Faces from noise
are measured by Inception's FID and KID against held-out faces, beside those of as many training faces.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from atelier.flows.config.render import render
from atelier.flows.control_plane.session import use
from atelier.models import artifact
from atelier.models import encoders as networks
from atelier.models.controls import Controls
from atelier.models.metrics.fid import frechet
from atelier.models.metrics.kid import kid
from atelier.tasks.dataset.augment_config import AugmentConfig, DomainAugmentation
from atelier.tasks.dataset.ingest import IngestConfig
from atelier.tasks.dataset.layouts import SourceConfig
from atelier.tasks.dataset.shards import read_card, read_rows
from atelier.tasks.dataset.subsets import files, held_out_pictures
from atelier.tasks.evaluation import compare
from atelier.tasks.evaluation.gate import GateConfig
from atelier.tasks.evaluation.measures import center_squares
from atelier.tasks.evaluation.protocol import EvaluateConfig
from atelier.tasks.images import codec
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.runtime import cluster, encoder_weights
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.workspace.create import init
from methods import Contender, arguments_of, in_processes, record, workspace
from parity import deep_features

SIZE = 64
NAMES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
EDITED = 400  # held-out faces
GENERATED = 1000  # faces from noise
FACES: dict[str, Any] = {"content": "faces", "style": "faces"}
CONTENDERS = {
    "stargan": Contender(
        "stargan",
        # small networks and many steps; the labels count more than in the paper, which trains a hundred times as long
        {
            "attributes": NAMES,
            "exclusive": NAMES[:3],
            "filters": 16,
            "blocks": 3,
            "discriminator": "projected",
            "diffaugment": ["translation"],
            "adversarial_weight": 2.0,
            "classification_weight": 8.0,
            "reconstruction_weight": 5.0,
            "optimizer": {"generator_lr": 5e-4, "discriminator_lr": 5e-4, "beta1": 0.5, "beta2": 0.99},
        },
        batch=8,
        **FACES,
    ),
    "dcgan": Contender("dcgan", {"size_px": SIZE}, batch=16, **FACES),
    "gan": Contender("gan", {"size_px": SIZE}, batch=16, **FACES),
}


def params(folder: Path) -> str:
    """params.yaml of a workspace with one domain."""
    source = SourceConfig(str(folder / "images.zip"), attributes=str(folder / "list_attr_celeba.txt"))
    # colours and framing are what the attributes are about
    gentle = DomainAugmentation(crop_area=(0.95, 1.0), rotation_deg=0.0)
    text: str = render({
        "ingest": IngestConfig(domains={"faces": (source,)}),
        "augment": AugmentConfig(size_px=SIZE, copies=1, default=gentle),
        "train": TrainConfig(content="faces", style="faces"),
        "evaluate": EvaluateConfig(), "gate": GateConfig(), "stylize": StylizeConfig(),
    })  # fmt: skip
    return text


def faces(dataset: Path, split: str) -> Tensor:
    """Pictures uint8 (N, 3, SIZE, SIZE) of a split."""
    rows = read_rows(dataset, read_card(dataset), "faces", split, ["image"])["image"].to_pylist()
    return center_squares([row["bytes"] for row in rows], SIZE)


def attributes(model: Path, dataset: Path, keep: Path) -> dict[str, Any]:
    """How often stargan gives what is asked for, and what is left of the face; a grid shows both."""
    of = compare.find([str(model)], lambda text: ("stargan", Path(text)), "faces", ["faces"])
    spec = compare.prepare(EvaluateConfig(pictures=EDITED), dataset, "faces", SIZE, keep / "features", of)
    found: dict[str, Any] = compare.measure(spec, of[0]).metrics["attributes"]
    shown = center_squares(files(held_out_pictures(dataset, read_card(dataset), "faces", 10)), SIZE)
    trained = artifact.load(model)
    columns = [shown, *(trained.painter(Controls(to=(wish,)))(shown) for wish in found["wishes"])]
    cells = [[x.permute(1, 2, 0).numpy() for x in column] for column in columns]
    sheet = contact_sheet(cells, rows=["face", *found["wishes"]], cell_px=96)
    (keep / "stargan.png").write_bytes(codec.encode(sheet, "png"))
    return found


def from_noise(model: Path, sheet: Path) -> Tensor:
    """Pictures that a model generates, uint8 (GENERATED, 3, SIZE, SIZE); writes a grid of the first sixty."""
    trained = artifact.load(model)
    made = torch.cat([trained.generate(0, range(i, i + 50)) for i in range(0, GENERATED, 50)])
    cells = [[x.permute(1, 2, 0).numpy() for x in made[i : i + 10]] for i in range(0, 60, 10)]
    sheet.write_bytes(codec.encode(contact_sheet(cells, cell_px=96), "png"))
    return made


def generated(models: dict[str, Path], dataset: Path, folder: Path) -> dict[str, Any]:
    """FID and KID of faces from noise."""
    inception = networks.load("inception", encoder_weights.resolve("inception"))
    real = deep_features(inception, faces(dataset, "holdout")[:GENERATED])

    def measured(pictures: Tensor) -> dict[str, float]:
        found = deep_features(inception, pictures)
        return {"fid": round(frechet(found, real), 1), "kid_times_1000": round(1000 * kid(found, real), 1)}

    result = {"real training faces": measured(faces(dataset, "train")[:GENERATED])}
    for name, model in models.items():
        result[name] = measured(from_noise(model, folder / f"{name}.png"))
    return result


def main() -> None:
    """Train, measure, write `results/methods.json` and grids."""
    arguments = arguments_of(__doc__, "folder").parse_args()
    keep = arguments.keep.resolve()
    root = keep / "faces"
    if not (root / "params.yaml").is_file():
        init(root, params(arguments.folder.resolve()))
    workspace(root, [], {})
    names = arguments.methods or list(CONTENDERS)
    in_processes(names, CONTENDERS, root / "data" / "augmented", keep / "methods", arguments.minutes)
    dataset = root / "data" / "dataset"
    result: dict[str, Any] = {"minutes_of_processor_time": arguments.minutes, "size_px": SIZE}
    result["training"] = {n: json.loads((keep / "methods" / n / "training.json").read_text()) for n in names}
    if "stargan" in names:
        with use():
            cluster.connect()
            result["attributes"] = attributes(keep / "methods" / "stargan" / "model", dataset, keep)
    noise = {n: keep / "methods" / n / "model" for n in names if n != "stargan"}
    result["from_noise"] = generated(noise, dataset, keep)
    record(f"faces, {arguments.minutes:g} minutes", result)


if __name__ == "__main__":
    main()
