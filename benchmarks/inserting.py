"""Adding objects: how much of a seam is left, beside plain pasting and Poisson cloning.

    python benchmarks/inserting.py PHOTOS OTHERS --keep FOLDER [--model starter/inpaint] [--sheet FILE]

PHOTOS is a folder of photographs that the model has not seen, `val` of BSDS500, and OTHERS one of other photographs
that objects are cut out of, `train`. Each photograph gets one object of each kind, at most 0.35 times as wide and 0.6
times as high, at a place that a fixed seed draws:

things  the main thing of another photograph, cut out by GrabCut (Rother et al. 2004) from a box three quarters as wide
        and high; those that are broken or very small or large are left out
balls   a drawn ball in a random colour, with a soft edge
pieces  an ellipse of another photograph: a part of another scene, and no thing with an outline of its own

Seam energy: at each pixel of the outline (alpha 0.5), colours are read along its normal at -8, -7 … 8 px, by bilinear
interpolation. Of the 16 squared differences of neighbours, means over the channels in 8-bit values, those of the 8
within 4 px of the outline are summed, and those of the 8 that are farther, on both sides, are taken off. The energy of
a picture is the mean over its outline; below 0 it counts as 0. A step that is spread evenly over n px has 1/n of the
energy. What is told are ratios of means over photographs, with intervals of 1,000 draws of photographs. To compare
with: the same of the outlines of the things in their own photographs, which are no seams.

Colours: the mean absolute difference of the object's inside, 10 px and more from the outline, from the object as it
was.

hard    pasted where alpha is above 0.5
alpha   laid over the picture by its alpha
poisson `cv2.seamlessClone`: Pérez et al. 2003, "Poisson Image Editing"
model   `atelier stylize --insert`
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from atelier.models import artifact
from atelier.models.artifact import TrainedModel
from atelier.models.compositing import SEAM_PX
from atelier.models.controls import Controls
from atelier.models.insertion import Insertion
from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.inference.model_lookup import find_model
from training import RESULTS, hardware

Alpha = NDArray[np.float32]  # (h, w) in [0, 1]

KINDS, WAYS = ("things", "balls", "pieces"), ("hard", "alpha", "poisson", "model")
WIDEST, HIGHEST = 0.35, 0.6  # of a photograph
NEAR_PX, FAR_PX = 4, 8  # of the outline
DEEP_PX = 10
SHARES, FULLEST = (0.05, 0.35), 0.6  # of a photograph that a thing is, and least share of its convex hull
BALL_PX = 128
DRAWS = 1000
SHOWN, AROUND_PX = 10, 30  # photographs of the sheet, and what is shown around objects


def things(files: list[Path], keep: Path) -> Iterator[tuple[Pixels, Alpha]]:
    """Photographs with the alpha of their main thing, which is kept in a folder."""
    keep.mkdir(parents=True, exist_ok=True)
    for file in files:
        pixels, cut = codec.decode(file.read_bytes()), keep / f"{file.stem}.png"
        if not cut.is_file():
            Image.fromarray(main_thing(pixels)).save(cut)
        mask = np.asarray(Image.open(cut))
        if mask.any():
            yield pixels, cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 0.7)


def main_thing(pixels: Pixels) -> NDArray[np.uint8]:
    """Where the main thing of a photograph is, 255; nowhere if it is broken, or very small or large."""
    small = np.ascontiguousarray(pixels[::2, ::2, ::-1])
    height, width = small.shape[:2]
    found, models = np.zeros((height, width), np.uint8), (np.zeros((1, 65)), np.zeros((1, 65)))
    box = width // 8, height // 8, width * 3 // 4, height * 3 // 4
    cv2.setRNGSeed(0)
    cv2.grabCut(small, found, box, *models, 5, cv2.GC_INIT_WITH_RECT)
    mask = cv2.morphologyEx(found & 1, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = np.zeros((height, width), np.uint8)
    if outlines:
        largest = max(outlines, key=cv2.contourArea)
        area = cv2.contourArea(largest)
        if SHARES[0] < area / whole.size < SHARES[1] and area > FULLEST * cv2.contourArea(cv2.convexHull(largest)):
            cv2.drawContours(whole, [largest], -1, (255,), -1)
    smooth = cv2.resize(cv2.GaussianBlur(whole, (0, 0), 1), pixels.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.where(smooth > 127, np.uint8(255), np.uint8(0))


def ball(number: int) -> tuple[Pixels, Alpha]:
    """A ball with light from above and from the left."""
    y, x = (np.mgrid[:BALL_PX, :BALL_PX] + 0.5 - BALL_PX / 2) / (0.48 * BALL_PX)
    far = np.hypot(x, y)
    light = np.clip(0.6 * np.sqrt(np.clip(1 - far**2, 0, 1)) - 0.35 * x - 0.5 * y, 0, 1)
    colour = np.random.default_rng(number).uniform(0.1, 0.9, 3) * (0.3 + 0.8 * light[..., None])
    return (255 * colour.clip(0, 1)).astype(np.uint8), np.clip((1 - far) * 0.48 * BALL_PX + 0.5, 0, 1).astype(
        np.float32
    )


def piece(pixels: Pixels) -> tuple[Pixels, Alpha]:
    """The middle of a photograph, an ellipse."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    far = np.hypot((x / width - 0.5) / 0.3, (y / height - 0.5) / 0.3)
    return pixels, np.clip((1 - far) * 0.3 * min(height, width) + 0.5, 0, 1).astype(np.float32)


def insertion(pixels: Pixels, alpha: Alpha, photo: Pixels, number: int) -> Insertion:
    """An object at a drawn place of a photograph."""
    eight = (255 * alpha).round().astype(np.uint8)
    rows, columns = (np.flatnonzero(eight.any(axis)) for axis in (1, 0))
    own = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    scale = min(WIDEST * photo.shape[1] / len(columns), HIGHEST * photo.shape[0] / len(rows))
    half = [scale * len(columns) / photo.shape[1] / 2, scale * len(rows) / photo.shape[0] / 2]
    place = np.random.default_rng([number, 1]).uniform(half, [1 - side for side in half])
    at = ",".join(f"{100 * share:.2f}%" for share in place)
    return Insertion("object", "", pixels[own], eight[own], at, f"{scale:.4f}")


def laid_out(thing: Insertion, photo: Pixels) -> tuple[Pixels, Alpha]:
    """Colours and alpha of an object at its place, as large as the photograph."""
    rows, columns = thing.place(*photo.shape[:2])
    size = columns.stop - columns.start, rows.stop - rows.start
    image = (
        Image.fromarray(np.dstack([thing.pixels, thing.alpha])).convert("RGBa").resize(size, Image.Resampling.BICUBIC)
    )
    made, canvas = np.asarray(image.convert("RGBA")), np.zeros((*photo.shape[:2], 4), np.uint8)
    inside = [
        slice(max(0, at.start), min(at.stop, side)) for at, side in zip((rows, columns), photo.shape, strict=False)
    ]
    own = [slice(at.start - of.start, at.stop - of.start) for at, of in zip(inside, (rows, columns), strict=True)]
    canvas[inside[0], inside[1]] = made[own[0], own[1]]
    return canvas[..., :3], (canvas[..., 3] / 255).astype(np.float32)


def added(way: str, photo: Pixels, thing: Insertion, model: TrainedModel) -> Pixels:
    """A photograph with an object, by one of `WAYS`."""
    colour, alpha = laid_out(thing, photo)
    if way == "hard":
        return np.where(alpha[..., None] > 0.5, colour, photo)
    if way == "alpha":
        return (photo + (colour.astype(float) - photo) * alpha[..., None]).round().astype(np.uint8)
    if way == "poisson":
        mask = ((alpha > 0.5) * 255).astype(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        middle = left + width // 2, top + height // 2
        return np.asarray(cv2.seamlessClone(colour, photo, mask, middle, cv2.NORMAL_CLONE), np.uint8)
    batch = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None]
    made: Pixels = model.painter(Controls(insert=thing))(batch)[0].permute(1, 2, 0).numpy()
    near = cv2.dilate((alpha > 0).astype(np.uint8), np.ones((2 * SEAM_PX + 3,) * 2, np.uint8))  # two resamplings differ
    assert np.array_equal(made[near == 0], photo[near == 0]), "nothing else changes"
    return made


def seam_energy(pixels: Pixels, alpha: Alpha) -> float:
    """See the module."""
    mask = (alpha > 0.5).astype(np.uint8)
    height, width = mask.shape
    down, across = np.gradient(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2))
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    x, y = np.concatenate([line[:, 0] for line in outlines]).T
    normal = np.stack([across[y, x], down[y, x]], 1)
    steep = np.linalg.norm(normal, axis=1)
    inside = (np.minimum(x, y) > FAR_PX) & (x < width - FAR_PX - 1) & (y < height - FAR_PX - 1) & (steep > 1e-3)
    x, y, normal = x[inside, None], y[inside, None], normal[inside] / steep[inside, None]
    along = np.arange(-FAR_PX, FAR_PX + 1)
    columns, rows = ((at + normal[:, [axis]] * along).astype(np.float32) for at, axis in ((x, 0), (y, 1)))
    colours = cv2.remap(pixels.astype(np.float32), columns, rows, cv2.INTER_LINEAR)
    squares = (np.diff(colours, axis=1) ** 2).mean((0, 2))
    near = squares[FAR_PX - NEAR_PX : FAR_PX + NEAR_PX].sum()
    return float(max(0.0, near - (squares.sum() - near)))


def drift(pixels: Pixels, colour: Pixels, alpha: Alpha) -> float:
    """By how much the inside of an object has other colours than it had, in 8-bit values."""
    deep = cv2.erode((alpha > 0.99).astype(np.uint8), np.ones((2 * DEEP_PX + 1,) * 2, np.uint8)) > 0
    return float(np.abs(pixels[deep].astype(float) - colour[deep]).mean()) if deep.any() else np.nan


def ratio(of: list[float], to: list[float]) -> dict[str, Any]:
    """The ratio of two means, and its interval."""
    found = np.array([of, to])
    picks = np.random.default_rng(0).integers(0, len(of), (DRAWS, len(of)))
    low, high = np.percentile(np.divide(*found[:, picks].mean(2)), (2.5, 97.5))
    return {"ratio": round(float(np.divide(*found.mean(1))), 3), "interval": [round(low, 3), round(high, 3)]}


def main() -> None:
    """Measure, and write `results/inserting.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("others", type=Path)
    parser.add_argument("--keep", type=Path, required=True, help="where cut-outs are kept")
    parser.add_argument("--model", default="starter/inpaint")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--sheet", type=Path, help="PNG of some, of each kind, by each way")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted(arguments.photos.glob("*.jpg"))[: arguments.pictures]
    others = sorted(arguments.others.glob("*.jpg"))
    model = artifact.load(find_model(arguments.model, None).folder)
    energies: dict[str, dict[str, list[float]]] = {kind: {way: [] for way in WAYS} for kind in KINDS}
    drifts: dict[str, dict[str, list[float]]] = {kind: {way: [] for way in WAYS} for kind in KINDS}
    natural, rows = list[float](), list[list[Pixels]]()
    for number, (file, cut) in enumerate(zip(files, things(others, arguments.keep), strict=False)):
        photo = codec.decode(file.read_bytes())
        natural.append(seam_energy(*cut))
        for kind, thing in zip(KINDS, (cut, ball(number), piece(cut[0])), strict=True):
            placed = insertion(*thing, photo, number)
            colour, alpha = laid_out(placed, photo)
            made = {way: added(way, photo, placed, model) for way in WAYS}
            for way, pixels in made.items():
                energies[kind][way].append(seam_energy(pixels, alpha))
                drifts[kind][way].append(drift(pixels, colour, alpha))
            if number % max(1, len(files) // SHOWN) == 0:
                left, top, width, height = cv2.boundingRect((alpha > 0).astype(np.uint8))
                shown = (
                    slice(max(0, top - AROUND_PX), top + height + AROUND_PX),
                    slice(max(0, left - AROUND_PX), left + width + AROUND_PX),
                )
                rows.append([pixels[shown] for pixels in (photo, *made.values())])
    result: dict[str, Any] = {"pictures": len(natural), "hardware": hardware()}
    result["energy_of_natural_outlines"] = round(float(np.mean(natural)))
    for kind in KINDS:
        of = energies[kind]
        result[kind] = {
            "energy": {way: round(float(np.mean(of[way]))) for way in WAYS},
            "model_to_hard": ratio(of["model"], of["hard"]),
            "model_to_alpha": ratio(of["model"], of["alpha"]),
            "poisson_to_hard": ratio(of["poisson"], of["hard"]),
            "colours": {way: round(float(np.nanmean(drifts[kind][way])), 1) for way in ("poisson", "model")},
        }
    print(json.dumps(result, indent=2))
    if len(files) == parser.get_default("pictures"):
        (RESULTS / "inserting.json").write_text(json.dumps(result, indent=2) + "\n")
    if arguments.sheet:
        columns = ("photograph", *WAYS)
        arguments.sheet.write_bytes(codec.encode(contact_sheet(rows, columns=columns, cell_px=320), "png"))


if __name__ == "__main__":
    main()
