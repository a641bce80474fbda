"""The models that repair and come with the package, anew: `starter/denoise`, `starter/upscale2` and the others here.

    nice python benchmarks/repair_models.py DATA --keep WORK --only denoise

DATA holds `free/` (free photographs). The sharp pictures are windows of these photographs, at three scales, and of
those inside scikit-image and scikit-learn; what is smaller than its photograph is sharper. `inpaint` learns from larger
windows in more colours; the first 700 steps of the shipped model were with absolute errors in place of squared ones. A
model takes an hour of one core, `inpaint` a third of it; what is stopped goes on exactly where it was.

Then copy the model's `generator.safetensors` and `model.json` to `src/atelier/starters/NAME/`.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from atelier.models import artifact
from atelier.tasks.images import codec
from atelier.tasks.storage import sample_images
from base_models import COLOURFUL, lattice, scaled, train_in_process, write_windows
from methods import workspace

WINDOW_PX, STRIDE_PX = 256, 200
SCALES = 1.0, 0.7, 0.45  # of a free photograph
SHORT_PX = 300, 400  # shorter sides of the photographs in packages
# the same of the windows with holes: of photographs in packages, and of free ones
HOLED_PX, PACKED_SIDES, FREE_SIDES = 320, (320, 420), (340, 520, 780)


@dataclass(frozen=True)
class Recipe:
    """One training."""

    steps: int
    settings: Mapping[str, Any]  # of the method
    method: str = "restore"
    size_px: int = 96  # of a training picture
    batch: int = 8
    loop: Mapping[str, Any] = field(default_factory=dict)  # what differs from `LOOP`
    begin_with: str = ""  # another recipe, whose model is the first
    windows: str = "sharp"  # or "holed"
    half: bool = False  # its weights are kept in float16, so that a larger network is as small a file


def holes(steps: int, decay_from: float) -> Recipe:
    """A training of inpaint."""
    optimizer = {"generator_lr": 2e-3, "beta1": 0.9, "beta2": 0.99}
    loop = {"decay_from": decay_from, "warm_up_steps": 50}
    return Recipe(steps, {"optimizer": optimizer}, "inpaint", 160, 16, loop, windows="holed")


def blur(steps: int, decay_from: float) -> Recipe:
    """A training of restore to take out blur."""
    settings = {"faults": ["blur"], "alike": 0.2, "filters": 48, "blocks": 4, "coarse_blocks": 6}
    return Recipe(steps, settings, loop={"decay_from": decay_from})


LOOP = {"checkpoint_every": 500, "sample_every": 2000, "decay_from": 0.5, "ema_half_life_steps": 100, "log_every": 50}
RECIPES = {
    "even": Recipe(12_000, {"faults": ["noise"], "alike": 0.0}),
    "denoise": Recipe(4_000, {"faults": ["noise"]}, loop={"decay_from": 0.25}, begin_with="even"),
    "noise25": Recipe(
        4_000,
        {"faults": ["noise"], "alike": 0.0, "noise_from": 25.0, "noise_to": 25.0},
        loop={"decay_from": 0.25},
        begin_with="even",
    ),
    "upscale2": Recipe(8_000, {"faults": [], "scale": 2, "filters": 32, "blocks": 8}, batch=16),
    "upscale4": Recipe(12_000, {"faults": [], "scale": 4, "filters": 48, "blocks": 10}, batch=16),
    "inpaint-begun": holes(700, 1.0),
    "inpaint-further": replace(holes(1_650, 0.4), begin_with="inpaint-begun"),
    "inpaint": replace(holes(3_000, 0.3), begin_with="inpaint-further"),
    "several": Recipe(4_500, {"faults": ["blur", "jpeg", "noise"], "mixed": 0.2}, begin_with="denoise"),
    "deblur-begun": blur(12_000, 0.4),
    "deblur": replace(blur(14_000, 0.2), begin_with="deblur-begun", half=True),
    "jpeg": Recipe(5_500, {"faults": ["jpeg"]}, loop={"decay_from": 0.3}, begin_with="several"),
}


def write_sharp(free: Path, folder: Path) -> None:
    """Windows of all photographs."""
    for path in sorted(free.glob("*.jpg")):
        picture = codec.decode(path.read_bytes())
        for scale in SCALES:
            pixels = codec.scaled(picture, scale)
            places = lattice(pixels, WINDOW_PX, STRIDE_PX)
            write_windows(pixels, WINDOW_PX, places, folder / f"{path.stem}-{scale}")
    parents = [parent for domain in sample_images.PARENTS.values() for parent in domain if parent.name in COLOURFUL]
    for parent in parents:
        for short in SHORT_PX:
            pixels = sample_images.photograph(parent, short)
            places = lattice(pixels, WINDOW_PX, STRIDE_PX)
            write_windows(pixels, WINDOW_PX, places, folder / f"{parent.name.replace(' ', '-')}-{short}")


def write_holed(free: Path, folder: Path) -> None:
    """Windows of all photographs, larger and at other scales; the holes are drawn while a model is trained."""
    samples = [parent for domain in sample_images.PARENTS.values() for parent in domain if parent.name in COLOURFUL]
    for parent in samples:
        for side in PACKED_SIDES:
            pixels = sample_images.photograph(parent, side)
            places = lattice(pixels, HOLED_PX, 100)
            write_windows(pixels, HOLED_PX, places, folder / f"{parent.name.replace(' ', '-')}-{side}" / "window")
    for path in sorted(free.glob("*.jpg")):
        for side in FREE_SIDES:
            pixels = scaled(path, short=side)
            places = lattice(pixels, HOLED_PX, 150)
            write_windows(pixels, HOLED_PX, places, folder / f"{path.stem}-{side}" / "window")


def holed_set(keep: Path, size_px: int) -> Path:
    """Training pictures of a size in the light and colours of many cameras, in one domain."""
    root, windows = keep / f"workspace-holed-{size_px}", str(keep / "holed")
    photos = {
        "crop_area": [0.25, 0.95], "hue_deg": 15, "saturation": 0.25, "brightness": 0.1, "contrast": 0.15,
        "rotation_deg": 3.0, "flip_vertical": 0.3,
    }  # fmt: skip
    changes: dict[str, Any] = {
        "ingest.domains": {"photos": [windows]},
        "ingest.size_px": HOLED_PX,
        "ingest.holdout_share": 0.03,
        "augment.copies": 10,
        "augment.size_px": size_px,
        "augment.domains": {"photos": photos},
    }
    workspace(root, ["--content", windows, "--style", windows], changes)
    return root / "data" / "augmented"


def training_set(keep: Path, size_px: int) -> Path:
    """Sharp training pictures of a size, by the product's own commands: windows that are shrunk by up to two."""
    root, sharp = keep / f"workspace-sharp-{size_px}", str(keep / "sharp")
    share = (size_px / WINDOW_PX) ** 2
    changes: dict[str, Any] = {
        "ingest.size_px": WINDOW_PX,
        "ingest.holdout_share": 0.05,
        "augment.copies": 16,
        "augment.size_px": size_px,
        "augment.default.rotation_deg": 0.0,
        "augment.domains.photos.rotation_deg": 0.0,
        "augment.domains.photos.flip_vertical": 0.5,
        "augment.domains.photos.crop_area": [share, min(1.0, 3 * share)],
    }
    workspace(root, ["--content", sharp, "--style", sharp], changes)
    return root / "data" / "augmented"


def run(name: str, keep: Path) -> Path:
    """A recipe, from where it stopped: its model."""
    recipe = RECIPES[name]
    out = keep / name
    if (out / "model").is_dir():
        return out / "model"
    before = run(recipe.begin_with, keep) if recipe.begin_with else None
    given = {
        "method": recipe.method, recipe.method: dict(recipe.settings), "style": "photos",
        "encoder": "efficientnet_lite0", "start_from": "the other recipe" if before else "scratch",
        "shuffle_rows": 16_384, "loop": {**LOOP, "batch_size": recipe.batch, "steps": recipe.steps, **recipe.loop},
    }  # fmt: skip
    examples = (holed_set if recipe.windows == "holed" else training_set)(keep, recipe.size_px)
    trained = out / ("trained" if recipe.half else "model")
    train_in_process(name, given, examples, trained, before)
    if recipe.half:
        model = artifact.load(trained)
        artifact.save(out / "model", model.config, model.generator.half(), model.card.training)
    return out / "model"


def main() -> None:
    """Train all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--keep", type=Path, required=True, help="where workspaces and models are made and kept")
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    arguments = parser.parse_args()
    keep = arguments.keep.resolve()
    write_sharp(arguments.data.resolve() / "free", keep / "sharp")
    if any(RECIPES[name].windows == "holed" for name in arguments.only):
        write_holed(arguments.data.resolve() / "free", keep / "holed")
    for name in arguments.only:
        print(f"{name}: {run(name, keep)}")


if __name__ == "__main__":
    main()
