"""How the models that come with the package were trained, and anew: `starter/monet` and `starter/any-style`.

    python benchmarks/starters.py FOLDER --keep WORK --minutes 30

FOLDER holds paintings by Claude Monet, which are in the public domain. The pictures to paint are windows of the free
photographs inside scikit-image and scikit-learn. Both are cut small, so that strokes are as broad on a picture of some
400 pixels as the painter's. A palette, of which none is shipped, is a sixth of the paintings, the foremost by a measure
of their mean colour. WORK keeps the workspaces and models; copy a model's `generator.safetensors` and `model.json` to
`src/atelier/starters/NAME/`.
"""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from skimage.color import rgb2lab

from atelier.tasks import images, samples
from methods import Contender, in_processes, workspace

SIZES = (256, 384)  # shorter side that a photograph is scaled to before windows are cut, px
WINDOW, STRIDE = 224, 112
SHARE = 6  # a palette is one painting in so many
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

STARTERS = {
    "monet": Contender("cpgan", {}, batch=4),
    "monet-dusk": Contender("cpgan", {}, batch=4),
    "monet-mist": Contender("cpgan", {}, batch=4),
    "any-style": Contender("adain", {}, batch=4),
}
# of the mean L*, a*, b* of a painting (N, 3): the larger the more it belongs to the palette
PALETTES = {
    "monet": None,
    "any-style": None,
    "monet-dusk": lambda lab: lab[:, 1] + lab[:, 2],  # red and yellow
    "monet-mist": lambda lab: -lab[:, 2],  # blue
}


def write_content(folder: Path) -> None:
    """Windows of the photographs, at two scales."""
    folder.mkdir(parents=True, exist_ok=True)
    parents = [parent for domain in samples.PARENTS.values() for parent in domain if parent.name in COLOURFUL]
    for parent in parents:
        for side in SIZES:
            picture = samples.photograph(parent, side)
            height, width = picture.shape[:2]
            for top in range(0, max(1, height - WINDOW + 1), STRIDE):
                for left in range(0, max(1, width - WINDOW + 1), STRIDE):
                    window = picture[top : top + WINDOW, left : left + WINDOW]
                    name = f"{parent.name.replace(' ', '-')}-{side}-{top}-{left}.png"
                    (folder / name).write_bytes(images.encode(window, "png"))


def write_styles(paintings: Path, root: Path) -> None:
    """The paintings of each palette in a folder of their own."""
    files = sorted(path for path in paintings.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    thumbnails = [images.resize(images.decode(path.read_bytes()), 64, 64) for path in files]
    lab = np.stack([rgb2lab(picture).mean((0, 1)) for picture in thumbnails])
    for name, belongs in PALETTES.items():
        chosen = range(len(files)) if belongs is None else np.argsort(-belongs(lab))[: len(files) // SHARE]
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in chosen:
            shutil.copy(files[index], root / name)


def main() -> None:
    """Train all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paintings", type=Path)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30, help="of processor time for each")
    parser.add_argument("--only", nargs="+", choices=list(STARTERS), default=list(STARTERS))
    parser.add_argument("--settings", type=json.loads, default={}, help="other than in STARTERS, as JSON")
    arguments = parser.parse_args()
    keep = arguments.keep.resolve()
    write_content(keep / "content")
    write_styles(arguments.paintings, keep / "styles")
    for name in arguments.only:
        root = keep / "workspaces" / name
        sources = ["--content", str(keep / "content"), "--style", str(keep / "styles" / name)]
        workspace(
            root,
            sources,
            {
                "ingest.holdout_share": 0.05,
                "augment.default.crop_area": [0.15, 0.4],
                "augment.domains.photos.crop_area": [0.15, 0.4],
            },
        )
        contender = replace(STARTERS[name], settings=STARTERS[name].settings | arguments.settings)
        in_processes([name], {name: contender}, root / "data" / "augmented", keep / "models", arguments.minutes)


if __name__ == "__main__":
    main()
