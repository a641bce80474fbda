"""How the base models that come with the package were trained, and anew: `starter/paintings`.

    nice python benchmarks/base_models.py DATA --keep WORK

DATA holds `paintings/` (nine paintings in the public domain), `monet/` (those by Claude Monet of the "monet2photo" set
of Zhu et al. 2017) and `free/` (free photographs). The pictures to paint are windows of these photographs and of those
inside scikit-image and scikit-learn, at several scales. A style is eight windows of one painting. A model is trained in
rounds: each goes on from the model of the one before. It takes hours; what is stopped goes on exactly where it was.

Then copy the model's `generator.safetensors` and `model.json` to `src/atelier/starters/NAME/`.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.runtime.progress import Progress
from atelier.tasks.storage import sample_images
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.training.train import train
from methods import workspace
from starters import COLOURFUL

CONTENT_PX, STYLE_PX = 320, 288  # sides of the windows
PAINTINGS = {  # by the name of the style, how the file's name begins
    "starry-night": "van-gogh",
    "great-wave": "hokusai",
    "scream": "munch",
    "composition-vii": "kandinsky",
    "udnie": "picabia",
    "contrast-of-forms": "leger",
    "woman-with-hat": "matisse",
    "portrait": "delaunay",
    "minotaur": "turner",
}
MONETS = {
    "monet-haystack": "70bc945f95",
    "monet-lilies": "93132f89ee",
    "monet-fog": "2e0d0e6e19",
    "monet-snow": "a885da7b52",
    "monet-garden": "a619072f82",
}
PHOTOGRAPHS = {"hue_deg": 30, "saturation": 0.3, "brightness": 0.15, "contrast": 0.2}  # colours of any camera


@dataclass(frozen=True)
class Round:
    """One training."""

    size_px: int
    copies: int  # variants of each window
    batch: int
    steps: int
    settings: dict[str, Any] = field(default_factory=dict)  # of the method
    loop: dict[str, Any] = field(default_factory=dict)


FIRST = {"optimizer": {"beta1": 0.5, "beta2": 0.99}, "stability_weight": 0.0}
DEEP = {"content_layer": "relu3_3", "content_weight": 2.0, "total_variation_weight": 2.0}
SMOOTH = {"ema_half_life_steps": 100.0}
ROUNDS = {  # the first four were stopped when pictures showed what was wrong
    "paintings": (
        Round(256, 3, 2, 1500, {"style_images": 330} | FIRST, {"decay_from": 1.0}),
        Round(160, 6, 4, 1250, {"style_images": 800, "stability_weight": 0.0}, SMOOTH | {"decay_from": 1.0}),
        Round(160, 6, 4, 2000, {"style_images": 800, "stability_weight": 0.0} | DEEP, SMOOTH | {"decay_from": 1.0}),
        Round(160, 6, 4, 750, {"style_images": 800, "stability_weight": 20.0} | DEEP, SMOOTH | {"decay_from": 1.0}),
        Round(160, 6, 4, 4500, {"style_images": 800, "stability_weight": 200.0} | DEEP, SMOOTH),
    ),
}


def scaled(path: Path, short: int = 0, long: int = 0) -> Pixels:
    """A picture whose short or long side has so many pixels."""
    pixels = codec.decode(path.read_bytes())
    height, width = pixels.shape[:2]
    return codec.scaled(pixels, short / min(height, width) if short else long / max(height, width))


def write_windows(pixels: Pixels, side: int, places: tuple[Sequence[int], Sequence[int]], stem: Path) -> None:
    """Windows of a picture, at these distances from its top and left, as `stem-TOP-LEFT.png`."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    for top in places[0]:
        for left in places[1]:
            part = pixels[top : top + side, left : left + side]
            stem.with_name(f"{stem.name}-{top}-{left}.png").write_bytes(codec.encode(part, "png"))


def write_content(free: Path, folder: Path) -> None:
    """Windows of all photographs, a few of each at two or three scales."""

    def write(pixels: Pixels, stride: int, name: str) -> None:
        places = tuple(range(0, max(1, size - CONTENT_PX + 1), stride) for size in pixels.shape[:2])
        write_windows(pixels, CONTENT_PX, (places[0], places[1]), folder / name)

    parents = [parent for domain in sample_images.PARENTS.values() for parent in domain if parent.name in COLOURFUL]
    for parent in parents:
        for side in (320, 420):
            write(sample_images.photograph(parent, side), 160, f"{parent.name.replace(' ', '-')}-{side}")
    for path in sorted(free.glob("*.jpg")):
        for side in (340, 520, 780):
            write(scaled(path, short=side), 200, f"{path.stem}-{side}")


def write_styles(data: Path, folder: Path) -> None:
    """Eight windows of each painting, two times four, so that every style is met as often."""
    found = {name: (next((data / "paintings").glob(f"{stem}*")), 576) for name, stem in PAINTINGS.items()}
    found |= {name: (next((data / "monet").glob(f"{stem}*")), 340) for name, stem in MONETS.items()}
    for name, (path, long) in found.items():
        pixels = scaled(path, long=long)
        height, width = pixels.shape[:2]
        counts = (4, 2) if height > width else (2, 4)
        rows, columns = (
            [round((size - STYLE_PX) * i / (count - 1)) for i in range(count)]
            for size, count in zip((height, width), counts, strict=True)
        )
        write_windows(pixels, STYLE_PX, (rows, columns), folder / name / "window")


def training_set(keep: Path, size_px: int, copies: int) -> Path:
    """The training set of a round, by the product's own commands."""
    share = (size_px / 256) ** 2  # of a window that a square of a round shows: objects are as large in all rounds
    root = keep / f"workspace-{size_px}"
    changes: dict[str, Any] = {
        "ingest.size_px": 400,
        "ingest.holdout_share": 0.02,
        "ingest.domains.paintings": [{"path": str(keep / "styles"), "layout": "imagefolder"}],
        "augment.size_px": size_px,
        "augment.copies": copies,
        "augment.default.crop_area": [round(0.78 * share, 2), round(share, 2)],
        "augment.default.rotation_deg": 0.0,
        "augment.domains.photos.crop_area": [round(0.6 * share, 2), round(share, 2)],
    }
    changes |= {f"augment.domains.photos.{name}": value for name, value in PHOTOGRAPHS.items()}
    workspace(root, ["--content", str(keep / "content"), "--style", str(keep / "styles")], changes)
    return root / "data" / "augmented"


def run(name: str, keep: Path) -> None:
    """All rounds of a model, from where they stopped."""

    def tell(progress: Progress) -> None:
        print(f"{name}: {progress.done}/{progress.total} {progress.note}", file=sys.stderr)

    before: Path | None = None
    for number, each in enumerate(ROUNDS[name], 1):
        out = keep / name / f"round-{number}"
        if not (out / "model").is_dir():
            loop = {"batch_size": each.batch, "steps": each.steps, "checkpoint_every": 250, "sample_every": 1000}
            given = {
                "method": "cin", "cin": each.settings | {"styles": [*PAINTINGS, *MONETS]}, "encoder": "vgg16",
                "workers": 0, "start_from": "the round before" if before else "scratch", "loop": loop | each.loop,
            }  # fmt: skip
            config = TypeAdapter(TrainConfig).validate_python(given)
            data = training_set(keep, each.size_px, each.copies)
            train(config, data, out / "model", out / "checkpoints", out / "logs", tell, before)
        before = out / "model"
    print(f"{name}: {before}")


def main() -> None:
    """Train all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--keep", type=Path, required=True, help="where workspaces and models are made and kept")
    parser.add_argument("--only", nargs="+", choices=list(ROUNDS), default=list(ROUNDS))
    arguments = parser.parse_args()
    keep = arguments.keep.resolve()
    write_content(arguments.data / "free", keep / "content")
    write_styles(arguments.data, keep / "styles")
    for name in arguments.only:
        run(name, keep)


if __name__ == "__main__":
    main()
