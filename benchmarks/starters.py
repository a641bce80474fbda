"""How `starter/monet` was trained, and anew; the other starter models: `base_models.py`.

    python benchmarks/starters.py FOLDER --keep WORK --minutes 10

FOLDER holds the paintings by Claude Monet, which are in the public domain, of the "monet2photo" set of Zhu et al. 2017.
The pictures to paint are windows of the free photographs inside scikit-image and scikit-learn. All are cut small, so
that strokes are as broad on a picture of some 400 pixels as the painter's. WORK keeps the workspaces and models; copy a
model's `generator.safetensors` and `model.json` to `src/atelier/starters/monet/`.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from adain import pictures_in
from atelier.tasks.images import codec
from atelier.tasks.storage import sample_images
from methods import Contender, in_processes, workspace

SIZES = (256, 384)  # shorter side that a photograph is scaled to before windows are cut, px
WINDOW, STRIDE = 224, 112
COLOURFUL = (
    "astronaut",
    "shuttle and helmet",
    "motorbike",
    "rocket",
    "coffee-cup",
    "pagoda",
    "lake",
    "dahlia",
    "chelsea",
)

MONET = Contender("cpgan", {}, batch=4)


def write_content(folder: Path) -> None:
    """Windows of the photographs, at two scales."""
    folder.mkdir(parents=True, exist_ok=True)
    parents = [parent for domain in sample_images.PARENTS.values() for parent in domain if parent.name in COLOURFUL]
    for parent in parents:
        for side in SIZES:
            picture = sample_images.photograph(parent, side)
            height, width = picture.shape[:2]
            for top in range(0, max(1, height - WINDOW + 1), STRIDE):
                for left in range(0, max(1, width - WINDOW + 1), STRIDE):
                    window = picture[top : top + WINDOW, left : left + WINDOW]
                    name = f"{parent.name.replace(' ', '-')}-{side}-{top}-{left}.png"
                    (folder / name).write_bytes(codec.encode(window, "png"))


def main() -> None:
    """Train it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paintings", type=Path)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30, help="of processor time")
    parser.add_argument("--settings", type=json.loads, default={}, help="other than the method's defaults, as JSON")
    arguments = parser.parse_args()
    keep = arguments.keep.resolve()
    found = pictures_in(arguments.paintings.resolve())
    root = keep / "workspaces" / "monet"
    small = {f"augment.{which}.crop_area": [0.15, 0.4] for which in ("default", "domains.photos")}
    write_content(keep / "content")
    sources = ["--content", str(keep / "content"), "--style", str(found[0].parent)]
    workspace(root, sources, {"ingest.holdout_share": 0.05} | small)
    contender = replace(MONET, settings=MONET.settings | arguments.settings)
    in_processes(["monet"], {"monet": contender}, root / "data" / "augmented", keep / "models", arguments.minutes)


if __name__ == "__main__":
    main()
