"""Editing attributes of faces: how often it succeeds, what is left of the face, and what else changes.

    python benchmarks/edits.py WORK/faces --model vae=WORK/vae/model stylegan=WORK/stylegan/model --keep WORK/edits

WORK/faces is the workspace that `faces.py` or `faces_generated.py` makes. A model that generates learns directions as
`atelier directions` does; one of method stargan is taken as it is. Each attribute is given to faces that lack it and
taken from those that have it, as a classifier says which had no part in learning, and which judges the edited faces
too: held-out photographs and, of models that generate, faces from noise with the latents that they were made of.
LPIPS is in AlexNet, which is in no loss. Where the weights for faces are installed, see docs/metrics.md, it is measured
too whether the face is still that of the same person. The faces are for research only: sheets stay in WORK.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atelier.models import artifact, encoders
from atelier.models.card import identify
from atelier.models.configs.edit import EditConfig
from atelier.models.controls import Controls
from atelier.models.encoders.calibrated import Calibrated
from atelier.models.methods.edit import EditPainter, base_of
from atelier.models.metrics.attributes import predict
from atelier.models.metrics.lpips import lpips
from atelier.models.networks.classifier import Classifier
from atelier.models.networks.latent_editor import LatentEditor
from atelier.models.pixels import to_float, to_uint8
from atelier.models.random_draws import noise
from atelier.tasks.evaluation.attribute_directions import learn_directions
from atelier.tasks.evaluation.attribute_edits import train_classifier
from atelier.tasks.evaluation.face_embedding import SAME_PERSON, distances, embed_faces
from atelier.tasks.evaluation.protocol import ClassifierSpec, face_weights
from atelier.tasks.images import codec
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.runtime import encoder_weights
from faces import SIZE, faces
from training import RESULTS, hardware

NAMES = ("Black_Hair", "Blond_Hair", "Eyeglasses", "Male", "Smiling", "Young")
LEARNED = (*NAMES, "Bangs")
JUDGED = (*LEARNED, "Mouth_Slightly_Open")  # smiles open mouths: it may change
SHOWN = 8
Edit = Callable[[str, Tensor], Tensor]  # a wish and the places of pictures (N,) to the edited pictures


def edit_model(model: Path, root: Path, keep: Path) -> artifact.TrainedModel:
    """The model that edits: made of one that generates, once."""
    if artifact.load(model).config.generates:
        made = keep / "model"
        if not (made / "model.json").is_file():
            dataset, cache = root / "data" / "dataset", keep.parent / "classifiers"
            found = learn_directions(model, identify(model, model.name, ""), dataset, "faces", LEARNED, made, cache)
            print(found.summary, flush=True)
        model = made
    return artifact.load(model)


def of_photographs(trained: artifact.TrainedModel, pictures: Tensor) -> Edit:
    """Edits of photographs as `atelier edit` makes them; what is the same for all edits is computed once."""
    painter = trained.painter(Controls(to=(trained.config.attributes[0],)))
    if not isinstance(painter, EditPainter):
        return lambda wish, rows: trained.painter(Controls(to=(wish,)))(pictures[rows])
    x = to_float(pictures, torch.device("cpu"))
    latents = torch.cat([painter.latents(part) for part in torch.split(x, 20)])
    return of_latents(trained, x, latents)


def of_latents(trained: artifact.TrainedModel, x: Tensor, latents: Tensor) -> Edit:
    """Edits of pictures (N, 3, SIZE, SIZE) in [-1, 1] whose latents are known."""

    def edit(wish: str, rows: Tensor) -> Tensor:
        painter = trained.painter(Controls(to=(wish,)))
        assert isinstance(painter, EditPainter)
        return to_uint8(x[rows] + painter.change(x[rows], latents[rows]))

    return edit


def from_noise(trained: artifact.TrainedModel, count: int) -> tuple[Tensor, Edit]:
    """Pictures of the model's own, and edits of them."""
    (method, settings), networks = base_of(trained.config), trained.generator
    assert isinstance(networks, LatentEditor)
    latents = method.latents(settings, networks.base, noise(0, range(count), settings.noise))
    with torch.inference_mode():
        x = method.synthesize(settings, networks.base, latents).clamp(-1, 1)
    return to_uint8(x), of_latents(trained, x, latents)


def measured(
    pictures: Tensor, edit: Edit, known: tuple[str, ...], judge: Classifier, eye: Calibrated, faces: Path | None
) -> dict[str, Any]:
    """Success, LPIPS, other changes and identity of each edit; a wish is "Smiling" or "-Smiling".

    Args:
        faces: weights of `face_embedding`; None leaves identity out.
    """
    had, found = torch.from_numpy(predict(judge, pictures)), {}
    before = embed_faces(pictures, faces) if faces else None
    for name in [name for name in NAMES if name in known]:
        index = JUDGED.index(name)
        for wish, rows in ((name, ~had[:, index]), (f"-{name}", had[:, index])):
            if not rows.any():
                continue
            rows = rows.nonzero()[:, 0]
            made = torch.cat([edit(wish, part) for part in torch.split(rows, 50)])
            has = torch.from_numpy(predict(judge, made))
            others = [place for place in range(len(JUDGED)) if place != index]
            with torch.inference_mode():
                distance = lpips(eye, pictures[rows] / 255, made / 255)
            found[wish] = {
                "pictures": len(rows),
                "success": round(float((has[:, index] != had[rows, index]).float().mean()), 3),
                "lpips": round(float(distance.mean()), 3),
                "others_changed": round(float((has != had[rows])[:, others].float().mean()), 3),
            }
            if faces and before is not None:
                moved = distances(before[rows], embed_faces(made, faces)).diagonal()
                found[wish] |= {
                    "same_person": round(float((moved < SAME_PERSON).mean()), 3),
                    "face_distance": round(float(np.median(moved)), 3),
                }
            print(wish, found[wish], flush=True)
    each = ("success", "lpips", "others_changed", *(("same_person", "face_distance") if faces else ()))
    by_name = {name: [found[wish] for wish in (name, f"-{name}") if wish in found] for name in NAMES}
    of_attribute = {
        name: {
            key: sum(one[key] * one["pictures"] for one in both) / sum(one["pictures"] for one in both) for key in each
        }
        for name, both in by_name.items()
        if both
    }  # of all pictures: given to those without, taken from those with it
    mean = {key: round(fmean(one[key] for one in of_attribute.values()), 3) for key in each}
    return {"mean": mean, "attributes": of_attribute, "wishes": found} | (
        others_of(before) if before is not None else {}
    )


def others_of(faces: NDArray[np.float32]) -> dict[str, Any]:
    """How far apart the faces (N, 128) of different persons are, and how often they are taken for the same."""
    between = distances(faces, faces)[np.triu_indices(len(faces), 1)]
    taken = {"same_person": round(float((between < SAME_PERSON).mean()), 4)}
    return {"different_persons": taken | {"face_distance": round(float(np.median(between)), 3)}}


def sheet(pictures: Tensor, edit: Edit, known: tuple[str, ...], path: Path) -> None:
    """A row of faces, and below it each edit."""
    rows = torch.arange(min(SHOWN, len(pictures)))
    shown = {"before": pictures[rows]}
    shown |= {wish: edit(wish, rows) for name in NAMES if name in known for wish in (name, f"-{name}")}
    cells = [list(x.permute(0, 2, 3, 1).numpy()) for x in shown.values()]
    path.write_bytes(codec.encode(contact_sheet(cells, list(shown), cell_px=96), "png"))


def main() -> None:
    """Learn, edit and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--model", nargs="+", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=200, help="held-out faces, and faces from noise")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    root, keep = arguments.workspace.resolve(), arguments.keep.resolve()
    dataset = root / "data" / "dataset"
    judge = train_classifier(ClassifierSpec(dataset, ("faces",), JUDGED, SIZE, keep / "classifiers"))
    eye = encoders.load("alexnet", encoder_weights.resolve("alexnet"))
    assert isinstance(eye, Calibrated)
    held_out = faces(dataset, "holdout")[: arguments.pictures]
    path = RESULTS / "edits.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    for text in arguments.model:
        name, _, folder = text.partition("=")
        trained = edit_model(Path(folder).resolve(), root, keep / name)
        known = trained.config.attributes
        parts = {"held-out faces": (held_out, of_photographs(trained, held_out))}
        if isinstance(trained.config, EditConfig):
            parts["faces from noise"] = from_noise(trained, arguments.pictures)
        results[name] = {"hardware": hardware(), "judged": list(JUDGED)}
        for part, (pictures, edit) in parts.items():
            sheet(pictures, edit, known, keep / f"{name}, {part}.png")
            results[name][part] = measured(pictures, edit, known, judge, eye, face_weights())
            print(name, part, results[name][part]["mean"], flush=True)
    path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
