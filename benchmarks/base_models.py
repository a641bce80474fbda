"""The base models that come with the package, anew: `starter/paintings`, `starter/any-style` and `starter/monet`.

    nice python benchmarks/base_models.py DATA --keep WORK

DATA holds `paintings/` (nine paintings in the public domain), `monet2photo/monet/` (those by Claude Monet of the set of
Zhu et al. 2017) and `free/` (free photographs). The pictures to paint are windows of these photographs and of those
inside scikit-image and scikit-learn, at two scales. A named style is windows of one painting; any style is
learned from windows of all in all colours, and from what `drawn_styles.py` draws; Monet's from his paintings, of which
a fifth is held out. A model is trained in rounds: each goes on from the model of the one before. It takes hours; what
is stopped goes on exactly where it was. Of the shipped models the rounds before the last one of `monet`, the last eight
of `paintings` and the last four of `any-style` were trained with white noise in place of strokes, and a round of
`paintings` with the moments of colours in its palette loss: what this makes is near to them, not the same.

Then copy the model's `generator.safetensors` and `model.json` to `src/atelier/starters/NAME/`.
"""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from atelier.models import artifact
from atelier.models.configs.style_statistics import CinConfig
from atelier.models.methods.cin import Cin
from atelier.models.networks.conditional import ConditionalGenerator
from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.runtime.progress import Progress
from atelier.tasks.storage import sample_images
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.training.train import train
from drawn_styles import KINDS, drawn
from methods import workspace

COLOURFUL = (
    *("astronaut", "shuttle and helmet", "motorbike", "rocket", "coffee-cup"),
    *("pagoda", "lake", "dahlia", "chelsea"),
)
CONTENT_PX, STYLE_PX = 320, 288  # sides of the windows
# px: long side of a painting, of a Monet (they are small); sides of the windows; how many of them along and across
SCALES = {
    "styles": (576, 340, STYLE_PX, (4, 2)),
    "styles-900": (900, 384, 320, (4, 3)),
    "styles-900-480": (900, 480, 320, (4, 3)),
}
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
DRAWN = 38  # pictures of each kind
PHOTOGRAPHS = {"hue_deg": 30, "saturation": 0.3, "brightness": 0.15, "contrast": 0.2, "rotation_deg": 3.0}  # any camera
CLEAR = {"hue_deg": 8, "saturation": 0.15, "brightness": 0.1, "contrast": 0.1, "rotation_deg": 3.0}  # colours are told


@dataclass(frozen=True)
class Kind:
    """A training set: the pictures of its style, and the parameters of its workspace."""

    folder: str
    copies: int
    style: Mapping[str, Any]  # augmentation of the style's pictures
    photographs: Mapping[str, Any] = field(default_factory=lambda: PHOTOGRAPHS)
    size_px: int = 160
    holdout: float = 0.05


ONE_SCALE = {"rotation_deg": 0.0, "crop_area": [0.31, 0.39]}
NAMED, ANY = Kind("styles", 10, ONE_SCALE), Kind("any", 6, ANY_COLOURS | {"crop_area": [0.25, 0.39]})
LARGE, LARGE_MONETS = (
    Kind(folder, 7, {"rotation_deg": 0.0, "crop_area": [0.36, 0.44]}, size_px=192, holdout=0.03)
    for folder in ("styles-900", "styles-900-480")
)
MANY = Kind("many", 5, ANY_COLOURS | {"crop_area": [0.3, 0.95]}, size_px=192)
MONET = Kind("monet", 4, {"rotation_deg": 0.0, "crop_area": [0.35, 1.0]}, CLEAR, holdout=0.2)


@dataclass(frozen=True)
class Round:
    """One training, which goes on from the model of the round before."""

    steps: int
    kind: Kind
    settings: Mapping[str, Any]  # of the method
    styles: tuple[str, ...] = ()  # of cin; none: any
    method: str = "cin"
    crop_area: tuple[float, float] = (0.25, 0.95)  # of a window of a photograph, smallest and largest share
    decay_from: float = 0.5
    begin_with: str = ""  # the style, of those that the model before knows
    share: float = 1.0  # of its weights in the model; the rest are those of the model before


def painted(content: float, repetition: float, tone: float, palette: float = 0.0) -> dict[str, Any]:
    """The settings of a round of cin."""
    return {
        "content_layer": "relu3_3", "style_images": 560, "content_weight": content, "repetition_weight": repetition,
        "tone_weight": tone, "palette_weight": palette,
    }  # fmt: skip


BATCH = 4
ALL = (*PAINTINGS, *MONETS)
BEGUN = Round(1500, NAMED, painted(4.0, 0.0, 0.0), ("starry-night",), crop_area=(0.23, 0.39))  # strokes, for all
NAMED_ROUNDS = (
    BEGUN,
    Round(1250, NAMED, painted(3.0, 0.0, 0.0), ALL),
    Round(2800, NAMED, painted(2.5, 20.0, 0.0), ALL),
    Round(1000, NAMED, painted(2.5, 20.0, 1.0), ALL),
)
FOR_LARGE = (0.36, 0.95)  # crop area: a window of 192 px as fine as one of 160
BOLD = painted(1.5, 10.0, 2.0) | {"total_variation_weight": 0.3, "stability_weight": 30.0}
BOLDER = (Round(300, LARGE, BOLD, ALL, crop_area=FOR_LARGE, decay_from=1.0),)  # the contrast of the whole painting


def strokes(steps: int, detail: float, settings: Mapping[str, Any], decay_from: float) -> Round:
    """A round with larger strokes: of paintings without their finest detail, the grain."""
    settings = {"total_variation_weight": 0.5, "stability_weight": 20.0, "style_detail": detail, **settings}
    return Round(steps, LARGE_MONETS, settings, ALL, crop_area=FOR_LARGE, decay_from=decay_from)


CRISP = painted(1.3, 30.0, 0.5, 8.0) | {"total_variation_weight": 0.3, "stability_weight": 4.0}
OUTLINES = painted(0.8, 20.0, 0.4, 8.0) | {
    "content_layer": "relu2_2", "total_variation_weight": 0.3, "stability_weight": 0.0,
}  # fmt: skip
STROKES = (
    strokes(1800, 0.62, painted(1.2, 15.0, 0.8), 0.5),
    strokes(550, 0.62, painted(0.8, 15.0, 0.4), 0.2),
    strokes(1450, 0.62, painted(0.5, 15.0, 0.4), 1.0),
    strokes(1100, 0.8, painted(0.6, 15.0, 0.4, 5.0), 1.0),  # strokes are learned, and may be sharper
    strokes(300, 0.8, painted(0.5, 15.0, 0.2, 15.0), 1.0),  # the painting's colours
    strokes(1250, 0.8, painted(0.75, 30.0, 0.5, 8.0), 0.25),
    strokes(600, 0.8, CRISP, 0.2),  # outlines, and more of the content
    # the paintings whole: outlines, but also their grain, so a share of the weights
    replace(strokes(400, 1.0, OUTLINES, 1.0), share=0.35),
)
TO_MONET = {"generator": "light", "filters": 16, "width": 48, "blocks": 5, "repetition_weight": 20.0}
MORE_PAINT = TO_MONET | {"content_weight": 1.0, "style_weight": 10.0, "total_variation_weight": 0.2}
MORE_CONTENT = TO_MONET | {
    "content_weight": 3.0, "style_weight": 5.0, "identity_weight": 3.0, "total_variation_weight": 0.5,
}  # fmt: skip
ROUNDS = {
    "paintings": (*NAMED_ROUNDS, *BOLDER, *STROKES),
    "any-style": (
        BEGUN,
        Round(1000, ANY, painted(3.0, 0.0, 0.0)),
        Round(1800, ANY, painted(2.5, 20.0, 0.0)),
        Round(900, ANY, painted(2.0, 20.0, 1.0)),
        Round(2400, MANY, painted(1.2, 10.0, 1.0), decay_from=1.0),
        Round(1200, MANY, painted(0.8, 10.0, 1.0), decay_from=0.15),
        Round(2500, MANY, painted(0.6, 10.0, 0.7), decay_from=0.55),
        Round(1000, MANY, painted(0.5, 15.0, 0.7) | {"stability_weight": 40.0}, decay_from=1.0),
        Round(650, MANY, painted(0.6, 15.0, 0.7) | {"stability_weight": 60.0}, decay_from=0.15),
        Round(1350, MANY, painted(0.6, 25.0, 0.7) | {"stability_weight": 60.0}, decay_from=1.0),
        Round(900, MANY, painted(0.6, 25.0, 0.7, 4.0) | {"stability_weight": 60.0}, decay_from=0.0),
    ),
    "monet": (
        *NAMED_ROUNDS,
        Round(1600, MONET, MORE_PAINT, (), "cpgan", decay_from=1.0, begin_with="monet-garden"),
        Round(900, MONET, MORE_CONTENT, (), "cpgan", decay_from=0.7),
        Round(800, MONET, MORE_CONTENT, (), "cpgan"),
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


def lattice(pixels: Pixels, side: int, stride: int) -> tuple[range, range]:
    """Distances of windows from the top and the left of a picture; one window where there is no room for more."""
    height, width = pixels.shape[:2]
    return range(0, max(1, height - side + 1), stride), range(0, max(1, width - side + 1), stride)


def write_content(free: Path, folder: Path) -> None:
    """Windows of all photographs, a few of each at two scales."""

    def write(pixels: Pixels, stride: int, name: str) -> None:
        write_windows(pixels, CONTENT_PX, lattice(pixels, CONTENT_PX, stride), folder / name)

    parents = [parent for domain in sample_images.PARENTS.values() for parent in domain if parent.name in COLOURFUL]
    for parent in parents:
        for side in (320, 420):
            write(sample_images.photograph(parent, side), 160, f"{parent.name.replace(' ', '-')}-{side}")
    for path in sorted(free.glob("*.jpg")):
        for side in (340, 520):
            write(scaled(path, short=side), 200, f"{path.stem}-{side}")


def write_styles(data: Path, keep: Path, name: str) -> None:
    """As many windows of each painting, so that every style is met as often; for a kind of `SCALES`."""
    long, long_monet, side, (along, across) = SCALES[name]
    found = {style: (next((data / "paintings").glob(f"{stem}*")), long) for style, stem in PAINTINGS.items()}
    monets = data / "monet2photo" / "monet"
    found |= {style: (next(monets.glob(f"{stem}*")), long_monet) for style, stem in MONETS.items()}
    for style, (path, most) in found.items():
        pixels = scaled(path, long=most)
        height, width = pixels.shape[:2]
        counts = (along, across) if height > width else (across, along)
        rows, columns = (
            [round((size - side) * i / (count - 1)) for i in range(count)]
            for size, count in zip((height, width), counts, strict=True)
        )
        write_windows(pixels, side, (rows, columns), keep / name / style / "window")


def write_any(data: Path, folder: Path) -> None:
    """Windows of the nine paintings at three scales, and of all Monets at one."""
    scales = [(path, long, stride) for path in data.glob("paintings/*.jpg") for long, stride in ANY_SCALES]
    scales += [(path, STYLE_PX + 8, 300) for path in data.glob("monet2photo/monet/*.jpg")]
    for path, long, stride in scales:
        pixels = scaled(path, long=long)
        write_windows(pixels, STYLE_PX, lattice(pixels, STYLE_PX, stride), folder / f"{path.stem}-{long}")


def write_drawn(keep: Path) -> None:
    """The windows of any style, and as many pictures that a program draws of the photographs."""
    folder, photographs = keep / MANY.folder, sorted((keep / "content").glob("*.png"))
    shutil.copytree(keep / ANY.folder, folder, dirs_exist_ok=True)
    for number, kind in enumerate(KINDS):
        for count in range(DRAWN):
            seed = 1000 * number + count
            photo = codec.decode(photographs[37 * seed % len(photographs)].read_bytes())[:STYLE_PX, :STYLE_PX]
            (folder / f"{kind}-{count}.png").write_bytes(codec.encode(drawn(photo, kind, seed), "png"))


def training_set(keep: Path, data: Path, kind: Kind, crop_area: tuple[float, float]) -> Path:
    """The training set of a round, by the product's own commands."""
    styles = data / "monet2photo" / "monet" if kind is MONET else keep / kind.folder
    root = keep / f"workspace-{kind.folder}-{crop_area[1]}"
    changes: dict[str, Any] = {
        "ingest.size_px": 400,
        "ingest.holdout_share": kind.holdout,
        "augment.copies": kind.copies,
        "augment.size_px": kind.size_px,
        "augment.domains.photos.crop_area": list(crop_area),
    }
    changes |= {f"augment.domains.photos.{name}": value for name, value in kind.photographs.items()}
    changes |= {f"augment.default.{name}": value for name, value in kind.style.items()}
    if kind.folder in SCALES:
        changes["ingest.domains.paintings"] = [{"path": str(styles), "layout": "imagefolder"}]
    workspace(root, ["--content", str(keep / "content"), "--style", str(styles)], changes)
    return root / "data" / "augmented"


def one_style(model: Path, name: str, out: Path) -> Path:
    """A model of one of the styles that a model knows."""
    generator = artifact.load(model).generator
    assert isinstance(generator, ConditionalGenerator)
    config = CinConfig(styles=(name,))
    weights = generator.state_dict()
    weights["styles"] = weights["styles"][[generator.names.index(name)]]
    alone = Cin.build_generator(config, None)
    alone.load_state_dict(weights)
    artifact.save(out, config, alone, {"encoder": "vgg16", "content_domain": "photos", "style_domain": "paintings"})
    return out


def mixed(before: Path, after: Path, share: float, out: Path) -> None:
    """A model between two, by its weights: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"."""
    last = artifact.load(after)
    first, weights = artifact.load(before).generator.state_dict(), last.generator.state_dict()
    between = {
        key: first[key].lerp(value, share) if value.is_floating_point() else value for key, value in weights.items()
    }
    last.generator.load_state_dict(between)
    artifact.save(out, last.config, last.generator, {**last.card.training, "share_of_weights": share})


def train_in_process(name: str, given: Mapping[str, Any], examples: Path, model: Path, before: Path | None) -> None:
    """Train with the parameters `given`, or go on; its checkpoints lie beside the model.

    Args:
        name: for the progress.
        examples: the training set.
        model: the folder to write.
        before: the model to start from.
    """

    def tell(progress: Progress) -> None:
        print(f"{name}: {progress.done}/{progress.total} {progress.note}", file=sys.stderr)

    config = TypeAdapter(TrainConfig).validate_python({**given, "workers": 0})
    train(config, examples, model, model.parent / "checkpoints", model.parent / "logs", tell, before)


def run(name: str, keep: Path, data: Path) -> None:
    """All rounds of a model, from where they stopped."""
    before: Path | None = None
    for number, each in enumerate(ROUNDS[name], 1):
        # what several models begin with is trained once
        out = keep / next(
            f"{one}-{number}" for one, rounds in ROUNDS.items() if rounds[:number] == ROUNDS[name][:number]
        )
        if not (out / "model").is_dir():
            loop = {
                "batch_size": BATCH, "steps": each.steps, "checkpoint_every": 200, "sample_every": 1000,
                "decay_from": each.decay_from, "ema_half_life_steps": 100,
            }  # fmt: skip
            settings = dict(each.settings) | ({"styles": list(each.styles)} if each.method == "cin" else {})
            given = {
                "method": each.method, each.method: settings, "encoder": "vgg16",
                "loop": loop, "start_from": "the round before" if before else "scratch",
            }  # fmt: skip
            examples = training_set(keep, data, each.kind, each.crop_area)
            if before and each.begin_with:
                before = one_style(before, each.begin_with, keep / each.begin_with)
            trained = out / ("trained" if each.share < 1 else "model")
            train_in_process(name, given, examples, trained, before)
            if before and each.share < 1:
                mixed(before, trained, each.share, out / "model")
        before = out / "model"
    print(f"{name}: {before}")


def main() -> None:
    """Train all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--keep", type=Path, required=True, help="where workspaces and models are made and kept")
    parser.add_argument("--only", nargs="+", choices=list(ROUNDS), default=list(ROUNDS))
    arguments = parser.parse_args()
    keep, data = arguments.keep.resolve(), arguments.data.resolve()
    write_content(data / "free", keep / "content")
    for name in SCALES:
        write_styles(data, keep, name)
    write_any(data, keep / "any")
    write_drawn(keep)
    for name in arguments.only:
        run(name, keep, data)


if __name__ == "__main__":
    main()
