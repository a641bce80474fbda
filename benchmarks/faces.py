"""Faces at 64²: attributes by `stargan`, faces from noise by `dcgan` and `gan`, and how good they are.

    python benchmarks/faces.py FOLDER --keep WORK

FOLDER holds CelebA's `images.zip` and `list_attr_celeba.txt`. A fifth of the faces is held out by ingestion. An
attribute counts as given where a classifier says so that was trained on the real training faces and had no part in the
training of the generator; its own accuracy on real held-out faces stands beside it. Identity is LPIPS between a face
and what became of it, beside the LPIPS of two different faces. Faces from noise are measured by Inception's FID and KID
against held-out faces, beside those of as many training faces.
"""

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atelier.flows.params import render
from atelier.models import artifact
from atelier.models import encoders as networks
from atelier.models.controls import Controls
from atelier.models.encoders.calibrated import Calibrated
from atelier.models.metrics import attributes as metric
from atelier.models.metrics.fid import frechet
from atelier.models.metrics.kid import kid
from atelier.models.metrics.lpips import lpips
from atelier.tasks import attributes as labelled
from atelier.tasks import encoders, images
from atelier.tasks.augment import AugmentConfig, DomainAugmentation
from atelier.tasks.contact_sheet import contact_sheet
from atelier.tasks.dataset import read_card, read_rows
from atelier.tasks.evaluation import EvaluateConfig
from atelier.tasks.ingest import IngestConfig
from atelier.tasks.layouts import SourceConfig
from atelier.tasks.measuring import square
from atelier.tasks.stylization import StylizeConfig
from atelier.tasks.training import TrainConfig
from atelier.tasks.versions import GateConfig
from atelier.tasks.workspace import init
from methods import Contender, arguments_of, in_processes, record, workspace
from parity import deep_features

SIZE = 64
NAMES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
WISHES = {
    "black hair": ("Black_Hair",), "blond hair": ("Blond_Hair",), "brown hair": ("Brown_Hair",),
    "man": ("Male",), "woman": ("-Male",), "young": ("Young",), "old": ("-Young",),
}  # fmt: skip
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
            "classification_weight": 3.0,
            "reconstruction_weight": 5.0,
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


def faces(dataset: Path, split: str) -> tuple[Tensor, np.ndarray]:
    """Pictures uint8 (N, 3, SIZE, SIZE) and labels (N, A) of a split."""
    rows = read_rows(dataset, read_card(dataset), "faces", split, ["image", "attributes"]).to_pylist()
    pixels = np.stack([square(images.decode(row["image"]["bytes"]), SIZE) for row in rows])
    labels = labelled.labels((row["attributes"] for row in rows), NAMES, "faces")
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), labels.astype(bool)


def attributes(model: Path, dataset: Path, grid: Path) -> dict[str, Any]:
    """How often stargan gives what is asked for, and what is left of the face."""
    learned, labels = faces(dataset, "train")
    held, truth = faces(dataset, "holdout")
    classifier = metric.learn(learned, torch.from_numpy(labels))
    trusted = metric.accuracies(metric.tell(classifier, held), truth, NAMES)
    held, truth = held[:EDITED], truth[:EDITED]
    ruler = networks.load("alexnet", encoders.resolve("alexnet"))
    assert isinstance(ruler, Calibrated)
    trained = artifact.load(model)
    found: dict[str, Any] = {}
    columns = [held[:10]]
    for name, to in WISHES.items():
        painted = torch.cat([trained.painter(Controls(to=to))(part) for part in torch.split(held, 50)])
        columns.append(painted[:10])
        index, given = NAMES.index(to[0].removeprefix("-")), not to[0].startswith("-")
        changed = truth[:, index] != given
        hits = metric.tell(classifier, painted)[:, index][changed] == given
        apart = [float(x) for part in zip(torch.split(held, 50), torch.split(painted, 50), strict=True)
                 for x in lpips(ruler, *(p.float() / 255 for p in part))]  # fmt: skip
        found[name] = {
            "given": round(float(hits.mean()), 3),
            "faces_without": int(changed.sum()),
            "lpips": round(statistics.median(np.array(apart)[changed].tolist()), 3),
            "by_group": {g: [round(s, 3), n] for g, (s, n) in metric.by_group(hits, truth[changed], NAMES).items()},
        }
    others = [float(x) for x in lpips(ruler, held[:50].float() / 255, held[50:100].float() / 255)]
    cells = [[x.permute(1, 2, 0).numpy() for x in column] for column in columns]
    sheet = contact_sheet(cells, rows=["face", *WISHES], cell_px=96)
    grid.write_bytes(images.encode(sheet, "png"))
    return {
        "classifier": {name: {k: round(v, 3) for k, v in dataclasses.asdict(a).items()} for name, a in trusted.items()},
        "wishes": found,
        "lpips_of_two_different_faces": round(statistics.median(others), 3),
    }


def generated(models: dict[str, Path], dataset: Path, folder: Path) -> dict[str, Any]:
    """FID and KID of faces from noise."""
    inception = networks.load("inception", encoders.resolve("inception"))
    real = deep_features(inception, faces(dataset, "holdout")[0][:GENERATED])

    def measured(pictures: Tensor) -> dict[str, float]:
        found = deep_features(inception, pictures)
        return {"fid": round(frechet(found, real), 1), "kid_times_1000": round(1000 * kid(found, real), 1)}

    result = {"real training faces": measured(faces(dataset, "train")[0][:GENERATED])}
    for name, model in models.items():
        trained = artifact.load(model)
        made = torch.cat([trained.generate(0, range(i, i + 50)) for i in range(0, GENERATED, 50)])
        cells = [[x.permute(1, 2, 0).numpy() for x in made[i : i + 10]] for i in range(0, 60, 10)]
        (folder / f"{name}.png").write_bytes(images.encode(contact_sheet(cells, cell_px=96), "png"))
        result[name] = measured(made)
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
        result["attributes"] = attributes(keep / "methods" / "stargan" / "model", dataset, keep / "stargan.png")
    noise = {n: keep / "methods" / n / "model" for n in names if n != "stargan"}
    result["from_noise"] = generated(noise, dataset, keep)
    record("faces", result)


if __name__ == "__main__":
    main()
