"""Filling holes: how near to what was there, beside the classical methods of OpenCV.

    python benchmarks/inpainting.py PHOTOS --keep FOLDER [--model starter/inpaint] [--sheet FILE]

PHOTOS is a folder of photographs that the model has not seen: `val` of BSDS500.

strokes  of each photograph a quarter is filled, in strokes that a fixed seed draws (`models.holes`): PSNR in the hole,
         and LPIPS (AlexNet) of the whole picture, which shows whether what was filled looks right
boxes    one box of each side in each photograph: PSNR in it, and its sharpness, the mean absolute gradient of
         luminance as a share of what was there

Beside it the methods of Telea 2004, "An Image Inpainting Technique Based on the Fast Marching Method", and of Bertalmio
et al. 2001, "Navier-Stokes, Fluid Dynamics, and Image and Video Inpainting", by `cv2.inpaint` with a radius of 3.
Intervals are of 1,000 draws of photographs, with replacement. What was filled lies in FOLDER, and is not filled again.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from atelier.models import artifact
from atelier.models import encoders as networks
from atelier.models.card import weights_sha256
from atelier.models.controls import Controls
from atelier.models.encoders.calibrated import Calibrated
from atelier.models.holes import STROKE_NUMBERS, drawn_stroke
from atelier.models.metrics.lpips import lpips
from atelier.models.random_draws import uniform
from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.inference.model_lookup import find_model
from atelier.tasks.runtime import encoder_weights
from bootstrap import interval
from training import RESULTS, hardware

Hole = NDArray[np.uint8]  # (H, W), 255 where a picture is filled
Fill = Callable[[Pixels, Hole], Pixels]

SHARE = 0.25  # of a picture, in strokes
SEED = 7
SIDES = 16, 32, 64, 96  # px, of boxes
DRAWS = 1000
SHOWN = 8  # photographs of the sheet
LUMA = np.array([0.299, 0.587, 0.114])


def strokes(number: int, height: int, width: int) -> Hole:
    """The strokes of a photograph, by its number."""
    hole, count = torch.zeros(height, width), 0
    while hole.mean() < SHARE:
        drawn = iter(uniform(SEED, count, number, 1, STROKE_NUMBERS, 0)[0].tolist())
        hole, count = torch.maximum(hole, drawn_stroke(drawn, height, width)), count + 1
    return (255 * hole).to(torch.uint8).numpy()


def box(number: int, side: int, height: int, width: int) -> Hole:
    """A box in a photograph, by its number."""
    down, across = uniform(SEED, side, number, 1, 2, 1)[0].tolist()
    top, left = int(down * (height - side)), int(across * (width - side))
    hole = np.zeros((height, width), np.uint8)
    hole[top : top + side, left : left + side] = 255
    return hole


def classical(flag: int) -> Fill:
    """A method of OpenCV."""
    return lambda pixels, hole: cv2.inpaint(pixels, hole, 3, flag).astype(np.uint8)


def trained(model: str) -> Fill:
    """A model."""
    paint: Any = artifact.load(find_model(model, None).folder).painter(Controls(fill=True))

    def fill(pixels: Pixels, hole: Hole) -> Pixels:
        batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
        filled: Pixels = paint(batch, torch.from_numpy(hole)[None])[0].permute(1, 2, 0).numpy()
        return filled

    return fill


def kept(file: Path, fill: Fill, pixels: Pixels, hole: Hole) -> Pixels:
    """What was filled, from its file if it is there."""
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_bytes(codec.encode(fill(pixels, hole), "png"))
        part.rename(file)
    return codec.decode(file.read_bytes())


def measured(file: Path, fill: Fill, pixels: Pixels, hole: Hole, judge: Calibrated) -> dict[str, float]:
    """What is measured of a picture that is filled, from the file beside it if it is there."""
    found = file.with_suffix(".json")
    if not found.is_file():
        filled = kept(file, fill, pixels, hole)
        values = {"psnr": psnr(filled, pixels, hole)}
        if file.parent.name == "strokes":
            values["lpips"] = distance(judge, filled, pixels)
        else:
            values["sharpness"] = steepness(filled, hole) / max(steepness(pixels, hole), 1.0)
        found.write_text(json.dumps(values))
    return dict(json.loads(found.read_text()))


def psnr(filled: Pixels, pixels: Pixels, hole: Hole) -> float:
    """Of the pixels in the hole, dB."""
    error = (filled.astype(float) - pixels)[hole > 0]
    return float(10 * np.log10(255**2 / max(np.square(error).mean(), 1e-9)))


def steepness(pixels: Pixels, hole: Hole) -> float:
    """Mean absolute gradient of luminance between pixels of the hole."""
    luma, inside = pixels @ LUMA, hole > 0
    down, across = (np.abs(np.diff(luma, axis=axis)) for axis in (0, 1))
    steps = down[inside[1:] & inside[:-1]], across[inside[:, 1:] & inside[:, :-1]]
    return float(np.concatenate(steps).mean())


def distance(encoder: Calibrated, a: Pixels, b: Pixels) -> float:
    """LPIPS of two pictures."""
    x, y = (torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255 for pixels in (a, b))
    return float(lpips(encoder, x, y).item())


def main() -> None:
    """Measure, and write `results/inpainting.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--keep", type=Path, required=True, help="where what was filled is kept")
    parser.add_argument("--model", default="starter/inpaint")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument(
        "--sheet", type=Path, help="PNG of some: photograph, masked, filled by Telea's method, by the model"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted(arguments.photos.glob("*.jpg"))[: arguments.pictures]
    fills = {
        "telea": classical(cv2.INPAINT_TELEA),
        "navier_stokes": classical(cv2.INPAINT_NS),
        "model": trained(arguments.model),
    }
    model = weights_sha256(find_model(arguments.model, None).folder)[:8]
    folders = {name: f"model-{model}" if name == "model" else name for name in fills}
    encoder = networks.load("alexnet", encoder_weights.resolve("alexnet"))
    assert isinstance(encoder, Calibrated)
    kinds = ["strokes", *(f"boxes_{side}" for side in SIDES)]
    values: dict[str, dict[str, dict[str, list[float]]]] = {kind: {name: {} for name in fills} for kind in kinds}
    rows: list[list[Pixels]] = []
    for number, file in enumerate(files):
        pixels = codec.decode(file.read_bytes())
        for kind in kinds:
            side = int(kind.partition("_")[2] or 0)
            hole = box(number, side, *pixels.shape[:2]) if side else strokes(number, *pixels.shape[:2])
            outs = {name: arguments.keep / folders[name] / kind / f"{file.stem}.png" for name in fills}
            for name, fill in fills.items():
                for measure, value in measured(outs[name], fill, pixels, hole, encoder).items():
                    values[kind][name].setdefault(measure, []).append(value)
            if kind in ("strokes", "boxes_64") and number % max(1, len(files) // SHOWN) == 0:
                masked = np.where(hole[..., None] > 0, np.uint8(255), pixels)
                filled = [codec.decode(outs[name].read_bytes()) for name in ("telea", "model")]
                rows.append([pixels, masked, *filled])
    means: dict[str, Any] = {
        kind: {
            name: {measure: interval(found, DRAWS) for measure, found in measures.items()}
            for name, measures in by_name.items()
        }
        for kind, by_name in values.items()
    }
    ours, theirs = (values["strokes"][name] for name in ("model", "telea"))
    means["beside_telea"] = {
        "psnr_gain": interval([a - b for a, b in zip(ours["psnr"], theirs["psnr"], strict=True)], DRAWS),
        "lpips_ratio": round(float(np.mean(ours["lpips"]) / np.mean(theirs["lpips"])), 3),
    }
    result = {"pictures": len(files), "share": SHARE, "hardware": hardware(), **means}
    print(json.dumps(result, indent=2))
    if len(files) == parser.get_default("pictures"):
        (RESULTS / "inpainting.json").write_text(json.dumps(result, indent=2) + "\n")
    if arguments.sheet:
        names = ("photograph", "masked", "Telea", "filled")
        arguments.sheet.write_bytes(codec.encode(contact_sheet(rows, columns=names, cell_px=320), "png"))


if __name__ == "__main__":
    main()
