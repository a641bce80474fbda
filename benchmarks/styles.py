"""One painting as the style: `gatys` on each picture, `fast` trained for it, `adain` that never saw it.

    python benchmarks/styles.py CONTENT PAINTING [PAINTING …] --adain MODEL --keep WORK

CONTENT is a folder of photographs; a fifth of them, the last by name, is painted and not trained on. `fast` trains for
`--minutes` of processor time on each painting; MODEL is an `adain` that has seen neither the photographs nor the
paintings. Measured are the Gram distance to the painting, in an encoder that is in no loss
(VGG-16), as a share of what it was for the photograph; SSIM; and seconds of a core for a picture, model loaded.
"""

import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atelier.models import artifact
from atelier.models import encoders as networks
from atelier.models.controls import Controls, Style
from atelier.models.encoders import Encoder
from atelier.models.losses.perceptual import gram, style_loss
from atelier.models.metrics.ssim import ssim
from atelier.models.painter import Painter
from atelier.models.pixels import luminance
from atelier.tasks.images import codec
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.runtime import encoder_weights
from methods import SMALL, Contender, arguments_of, in_processes, record, workspace

SHORT_PX, LONG_PX = 192, 256  # of a painted photograph
WINDOWS_PX = (192, 256, 384)  # of the painting, for training
PAINTED = 4  # photographs


def read(path: Path, width: int, height: int) -> codec.Pixels:
    return codec.resize(codec.decode(path.read_bytes()), width, height)


def write_windows(painting: Path, folder: Path, sides: tuple[int, ...]) -> None:
    """A painting as the style domain of a training: overlapping windows of several sizes, px."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = codec.decode(painting.read_bytes())
    height, width = pixels.shape[:2]
    for window in sides:
        side = min(window, height, width)
        for top in range(0, height - side + 1, max(1, side // 2)):
            for left in range(0, width - side + 1, max(1, side // 2)):
                part = pixels[top : top + side, left : left + side]
                (folder / f"{side}-{top}-{left}.png").write_bytes(codec.encode(part, "png"))


def tensor(pixels: codec.Pixels) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]


@torch.no_grad()
def grams(encoder: Encoder, picture: Tensor) -> dict[str, Tensor]:
    """Of uint8 (1, 3, H, W), a (C, C) for each style layer."""
    features = encoder(picture.float() / 255)
    return {layer: gram(features[layer])[0] for layer in encoder.style_layers}


def measured(
    paint: Painter, photos: list[Tensor], style: dict[str, Tensor], ruler: Encoder
) -> tuple[dict[str, Any], list[Tensor]]:
    """Of one method on one painting."""
    ratios, kept, seconds, painted = [], [], [], []
    for photo in photos:
        begin = time.process_time()
        result = paint(photo)
        seconds.append(time.process_time() - begin)
        painted.append(result)
        ratios.append(float(style_loss(grams(ruler, result), style) / style_loss(grams(ruler, photo), style)))
        kept.append(float(ssim(luminance(photo / 255), luminance(result / 255))[0]))
    found = {
        "style_ratio": round(statistics.median(ratios), 3),
        "style_ratio_worst": round(max(ratios), 3),
        "ssim": round(statistics.median(kept), 3),
        "core_seconds": round(statistics.median(seconds), 3),
    }
    return found, painted


def main() -> None:
    """Train what is trained, paint, measure, write `results/methods.json` and a grid for each painting."""
    parser = arguments_of(__doc__, "content")
    parser.add_argument("paintings", type=Path, nargs="+")
    parser.add_argument("--adain", type=Path, required=True)
    arguments = parser.parse_args()
    keep = arguments.keep.resolve()
    files = sorted(p for p in arguments.content.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    last = files[-len(files) // 5 :]
    photos = [tensor(read(path, LONG_PX, SHORT_PX)) for path in last[:: max(1, len(last) // PAINTED)][:PAINTED]]
    trained_on = keep / "content"
    trained_on.mkdir(parents=True, exist_ok=True)
    for path in files[: -len(files) // 5]:
        (trained_on / path.name).write_bytes(path.read_bytes())
    ruler = networks.load("vgg16", encoder_weights.resolve("vgg16"))
    result: dict[str, Any] = {}
    for painting in arguments.paintings:
        name = painting.stem
        write_windows(painting, keep / "styles" / name, WINDOWS_PX)
        root = keep / "workspaces" / name
        sources = ["--content", str(trained_on), "--style", str(keep / "styles" / name)]
        workspace(root, sources, {"ingest.holdout_share": 0.1})
        for contender in (Contender("fast", SMALL, batch=4), Contender("gatys", {}, encoder="vgg19")):
            data, out = root / "data" / "augmented", keep / contender.method
            in_processes([name], {name: contender}, data, out, arguments.minutes)
        pixels = codec.decode(painting.read_bytes())
        scale = LONG_PX / max(pixels.shape[:2])
        pixels = codec.resize(pixels, round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        wish = Controls(styles=(Style(name, 1.0, pixels),))
        painters = {
            "gatys": artifact.load(keep / "gatys" / name / "model").painter(wish),
            "fast": artifact.load(keep / "fast" / name / "model").painter(),
            "adain": artifact.load(arguments.adain).painter(wish),
        }
        style, rows = grams(ruler, tensor(pixels)), [photos]
        result[name] = {}
        for method, paint in painters.items():
            result[name][method], painted = measured(paint, photos, style, ruler)
            rows.append(painted)
            print(name, method, json.dumps(result[name][method]), flush=True)
        cells = [[x[0].permute(1, 2, 0).numpy() for x in row] for row in rows]
        cells.append([pixels])
        grid = contact_sheet(cells, rows=["photograph", *painters, "the style"], cell_px=160)
        (keep / f"{name}.png").write_bytes(codec.encode(np.asarray(grid), "png"))
    terms = {"photographs": len(photos), "size_px": [LONG_PX, SHORT_PX], "minutes_of_processor_time": arguments.minutes}
    record("styles", terms | {"paintings": result})


if __name__ == "__main__":
    main()
