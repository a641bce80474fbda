"""The base models that come with the package, anew: `starter/paintings` and `starter/any-style`.

    nice python benchmarks/base_models.py DATA --keep WORK

DATA holds `paintings/` (nine paintings in the public domain), `monet/` (those by Claude Monet of the "monet2photo" set
of Zhu et al. 2017) and `free/` (free photographs). The pictures to paint are windows of these photographs and of those
inside scikit-image and scikit-learn, at two scales. A named style is eight windows of one painting; any style is
learned from windows of all in all colours. A model is trained in rounds: each goes on from the model of the one before.
It takes hours; what is stopped goes on exactly where it was.

Then copy the model's `generator.safetensors` and `model.json` to `src/atelier/starters/NAME/`.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
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
ANY_SCALES = (480, 100), (640, 130), (900, 250)  # px: long side of a painting, distance of its windows
ANY_COLOURS = {
    "rotation_deg": 10.0, "hue_deg": 90, "saturation": 0.4, "brightness": 0.1, "contrast": 0.3, "flip_vertical": 0.5,
}  # fmt: skip
PHOTOGRAPHS = {"hue_deg": 30, "saturation": 0.3, "brightness": 0.15, "contrast": 0.2, "rotation_deg": 3.0}  # any camera


@dataclass(frozen=True)
class Round:
    """One training, which goes on from the model of the round before."""

    steps: int
    content_weight: float
    repetition_weight: float
    tone_weight: float
    styles: tuple[str, ...] = (*PAINTINGS, *MONETS)  # none: any
    crop_area: tuple[float, float] = (0.25, 0.95)  # of a window of a photograph, smallest and largest share


SIZE_PX, BATCH = 160, 4
BEGUN = Round(1500, 4.0, 0.0, 0.0, ("starry-night",), (0.23, 0.39))  # a network that paints strokes, for both
ROUNDS = {
    "paintings": (BEGUN, Round(1250, 3.0, 0.0, 0.0), Round(2800, 2.5, 20.0, 0.0), Round(1000, 2.5, 20.0, 1.0)),
    "any-style": (
        BEGUN, Round(1000, 3.0, 0.0, 0.0, ()), Round(1800, 2.5, 20.0, 0.0, ()), Round(900, 2.0, 20.0, 1.0, ()),
    ),
}  # fmt: skip


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
    """Windows of all photographs, a few of each at two scales."""

    def write(pixels: Pixels, stride: int, name: str) -> None:
        places = tuple(range(0, max(1, size - CONTENT_PX + 1), stride) for size in pixels.shape[:2])
        write_windows(pixels, CONTENT_PX, (places[0], places[1]), folder / name)

    parents = [parent for domain in sample_images.PARENTS.values() for parent in domain if parent.name in COLOURFUL]
    for parent in parents:
        for side in (320, 420):
            write(sample_images.photograph(parent, side), 160, f"{parent.name.replace(' ', '-')}-{side}")
    for path in sorted(free.glob("*.jpg")):
        for side in (340, 520):
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


def write_any(data: Path, folder: Path) -> None:
    """Windows of the nine paintings at three scales, and of all Monets at one."""
    scales = [(path, long, stride) for path in data.glob("paintings/*.jpg") for long, stride in ANY_SCALES]
    scales += [(path, STYLE_PX + 8, 300) for path in data.glob("monet/*.jpg")]
    for path, long, stride in scales:
        pixels = scaled(path, long=long)
        places = tuple(range(0, max(1, size - STYLE_PX + 1), stride) for size in pixels.shape[:2])
        write_windows(pixels, STYLE_PX, (places[0], places[1]), folder / f"{path.stem}-{long}")


def training_set(keep: Path, each: Round) -> Path:
    """The training set of a round, by the product's own commands."""
    styles = keep / ("styles" if each.styles else "any")
    root = keep / f"workspace-{styles.name}-{each.crop_area[1]}"
    changes: dict[str, Any] = {
        "ingest.size_px": 400,
        "ingest.holdout_share": 0.05,
        "augment.size_px": SIZE_PX,
        "augment.domains.photos.crop_area": list(each.crop_area),
    }
    changes |= {f"augment.domains.photos.{name}": value for name, value in PHOTOGRAPHS.items()}
    if each.styles:
        changes["ingest.domains.paintings"] = [{"path": str(styles), "layout": "imagefolder"}]
        changes |= {
            "augment.copies": 10,
            "augment.default.rotation_deg": 0.0,
            "augment.default.crop_area": [0.31, 0.39],
        }
    else:
        changes |= {f"augment.default.{name}": value for name, value in ANY_COLOURS.items()}
        changes |= {"augment.copies": 6, "augment.default.crop_area": [0.25, 0.39]}
    workspace(root, ["--content", str(keep / "content"), "--style", str(styles)], changes)
    return root / "data" / "augmented"


def run(name: str, keep: Path) -> None:
    """All rounds of a model, from where they stopped."""

    def tell(progress: Progress) -> None:
        print(f"{name}: {progress.done}/{progress.total} {progress.note}", file=sys.stderr)

    before: Path | None = None
    for number, each in enumerate(ROUNDS[name], 1):
        out = keep / ("begun" if each is BEGUN else f"{name}-{number}")
        if not (out / "model").is_dir():
            loop = {
                "batch_size": BATCH, "steps": each.steps, "checkpoint_every": 200, "sample_every": 1000,
                "decay_from": 0.5, "ema_half_life_steps": 100,
            }  # fmt: skip
            method = {
                "styles": list(each.styles), "style_images": 560, "content_layer": "relu3_3",
                "content_weight": each.content_weight, "repetition_weight": each.repetition_weight,
                "tone_weight": each.tone_weight,
            }  # fmt: skip
            given = {
                "method": "cin", "cin": method, "encoder": "vgg16", "workers": 0, "loop": loop,
                "start_from": "the round before" if before else "scratch",
            }  # fmt: skip
            config = TypeAdapter(TrainConfig).validate_python(given)
            data = training_set(keep, each)
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
    write_any(arguments.data, keep / "any")
    for name in arguments.only:
        run(name, keep)


if __name__ == "__main__":
    main()
