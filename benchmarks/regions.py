"""Regions of style: what they are matched to, and how near a painted region comes to its region of the style.

    python benchmarks/regions.py DATA [--models MODEL …] [--sheet FILE]

DATA holds the folders `photo` and `monet` of the monet2photo set. `benchmarks/regions/` outlines sky, water, plants and
land in 16 photographs and 16 paintings of it; of outlines that overlap the later one counts, and `none` is neither.

matching   of all 256 pairs: the share of pixels whose region is matched to a region of the painting with mostly the
           same label; of all pixels, and of those whose label the painting has at all. Beside it the regions of the
           painting in a random order. Intervals are of 1,000 draws of photographs and of paintings, with replacement.
transfer   of some pairs, for each model: the Gram distance (VGG-19, which no model here was trained with) of each
           painted region to its region of the painting, as a share of what it is with the whole painting as the style
outside    pixels that change where label pictures of the same outlines say that no style goes
"""

import argparse
import hashlib
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from atelier.models import artifact
from atelier.models import encoders as networks
from atelier.models.controls import Controls, Style
from atelier.models.encoders import Encoder
from atelier.models.encoders.efficientnet_lite0 import DeepEfficientNetLite0
from atelier.models.losses.perceptual import gram, style_loss
from atelier.models.pixels import fitted
from atelier.models.regions import Regions, find_regions, match
from atelier.tasks.images import codec
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.inference import backends
from atelier.tasks.inference.model_lookup import find_model
from atelier.tasks.inference.regions import ENCODER, region_sheet
from atelier.tasks.runtime import encoder_weights
from training import RESULTS, hardware

LABELS = ("none", "sky", "water", "plants", "land")
LEAST = 0.02  # share of a painting that has a label
SKY, WATER = 1, 2
PAIRS, SLOW_PAIRS = 24, 6  # that are painted; by methods that optimise each picture
DRAWS = 1000


@dataclass(frozen=True)
class Outlined:
    """A picture with its labels and regions."""

    name: str
    pixels: codec.Pixels
    labels: NDArray[np.uint8]  # (H, W), indexes of `LABELS`
    regions: Regions

    @property
    def batch(self) -> Tensor:
        """uint8 (1, 3, H, W)."""
        return torch.from_numpy(self.pixels.copy()).permute(2, 0, 1)[None]

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The region (H, W) of each pixel."""
        labels = self.regions.labels[None, None].float()
        return F.interpolate(labels, self.pixels.shape[:2], mode="nearest-exact")[0, 0].long().numpy()


def read_outlined(data: Path) -> list[Outlined]:
    """All pictures with outlines. Raises ValueError where a picture is another one."""
    encoder = networks.load(ENCODER, encoder_weights.resolve(ENCODER))
    assert isinstance(encoder, DeepEfficientNetLite0)
    found = []
    for file in sorted((Path(__file__).parent / "regions").glob("*.json")):
        said = json.loads(file.read_text())
        bytes_ = (data / said["picture"]).read_bytes()
        if hashlib.sha256(bytes_).hexdigest() != said["sha256"]:
            raise ValueError(f"{data / said['picture']} is not the picture that {file.name} outlines")
        canvas = Image.new("L", tuple(said["size"]))
        for region in said["regions"]:
            ImageDraw.Draw(canvas).polygon([tuple(p) for p in region["points"]], fill=LABELS.index(region["label"]))
        pixels = codec.decode(bytes_)
        x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 127.5 - 1
        regions = find_regions(x, encoder)
        found.append(Outlined(said["picture"], pixels, np.asarray(canvas), regions))
    return found


def agreement(photo: Outlined, painting: Outlined, matched: Tensor) -> tuple[float, float, float]:
    """Shares of pixels with the right label: of all, of those whose label the painting has; and the share of those."""
    numbers = painting.numbers
    counts = [np.bincount(painting.labels[numbers == k], minlength=5)[1:] for k in range(len(painting.regions.means))]
    shown = np.array([1 + count.argmax() for count in counts])[matched.numpy()][photo.numbers]  # (H, W)
    there = np.flatnonzero(np.bincount(painting.labels.ravel(), minlength=5) >= LEAST * painting.labels.size)
    labelled = photo.labels > 0
    reachable = labelled & np.isin(photo.labels, there)
    right = shown == photo.labels
    return float(right[labelled].mean()), float(right[reachable].mean()), float(reachable.sum() / labelled.sum())


def matching(photos: list[Outlined], paintings: list[Outlined]) -> dict[str, Any]:
    """See the module."""
    random = torch.Generator().manual_seed(0)
    found, shuffled = np.empty((2, len(photos), len(paintings), 3))
    for i, photo in enumerate(photos):
        for j, painting in enumerate(paintings):
            matched = match(photo.regions, [painting.regions])
            order = torch.randperm(len(painting.regions.means), generator=random)
            found[i, j] = agreement(photo, painting, matched)
            shuffled[i, j] = agreement(photo, painting, order[matched])
    draws = np.random.default_rng(0)
    picks = [[draws.integers(0, n, n) for n in found.shape[:2]] for _ in range(DRAWS)]

    def told(values: NDArray[np.float64]) -> dict[str, Any]:
        drawn = [values[np.ix_(rows, columns)].mean() for rows, columns in picks]
        low, high = np.percentile(drawn, (2.5, 97.5))
        return {"share": round(values.mean(), 3), "interval": [round(low, 3), round(high, 3)]}

    return {
        "pairs": found[..., 0].size,
        "labels_in_painting": told(found[..., 1]) | {"shuffled": told(shuffled[..., 1])},
        "all_labels": told(found[..., 0])
        | {"shuffled": told(shuffled[..., 0]), "reachable": round(found[..., 2].mean(), 3)},
    }


@torch.no_grad()
def gram_distances(painted: Tensor, photo: Outlined, painting: Outlined, matched: Tensor, judge: Encoder) -> Tensor:
    """Distance (regions) of each painted region to its region of the painting, relative to that."""
    features, style = (judge(x.float() / 255) for x in (painted, painting.batch))

    def seen(x: dict[str, Tensor], numbers: NDArray[np.int64], region: int) -> dict[str, Tensor]:
        mask = torch.from_numpy(numbers == region)[None, None].float()
        return {name: gram(x[name], fitted(mask, *x[name].shape[2:]))[0] for name in judge.style_layers}

    pairs = enumerate(matched.tolist())
    return torch.stack(
        [style_loss(seen(features, photo.numbers, a), seen(style, painting.numbers, b)) for a, b in pairs]
    )


def transfer(model: str, pairs: list[tuple[Outlined, Outlined]], judge: Encoder) -> tuple[dict[str, Any], list[Any]]:
    """See the module; and rows of pictures: photograph, painting, whole, by regions, which regions."""
    trained = artifact.load(find_model(model, None).folder)
    ratios, totals, rows = [], [], []
    for photo, painting in pairs[: SLOW_PAIRS if trained.config.name == "gatys" else PAIRS]:
        styles = (Style("painting", pixels=painting.pixels),)
        matched = match(photo.regions, [painting.regions])
        areas = torch.from_numpy(np.bincount(photo.numbers.ravel()) / photo.numbers.size)
        distances, painted = [], []
        for regions in ("off", "auto"):
            controls = Controls(styles=styles, regions=regions, stroke="full")
            plan = backends.default_plan(trained, controls)
            painted.append(backends.build_painter(trained, controls, plan, b"")(photo.batch))
            distances.append(gram_distances(painted[-1], photo, painting, matched, judge))
        whole, by_region = distances
        ratios += (by_region / whole).tolist()
        totals.append(float((areas * by_region).sum() / (areas * whole).sum()))
        sheet = region_sheet(photo.pixels, Controls(styles=styles, regions="auto"))
        cells = [x[0].permute(1, 2, 0).numpy() for x in painted]
        rows.append([photo.pixels, painting.pixels, *cells, codec.center_square(sheet[:, :512], 256), sheet[:, 512:]])
    found = {
        "method": trained.config.name,
        "pairs": len(totals),
        "ratio_by_area": round(statistics.median(totals), 3),
        "quartiles": [round(q, 3) for q in np.percentile(totals, (25, 75))],
        "ratio_of_regions": round(statistics.median(ratios), 3),
        "nearer": round(sum(ratio < 1 for ratio in ratios) / len(ratios), 3),
    }
    return found, rows


def changed_outside(model: str, photos: list[Outlined], paintings: list[Outlined]) -> int:
    """Pixels that change where neither sky nor water is, when these have styles."""
    trained = artifact.load(find_model(model, None).folder)
    labels = zip((SKY, WATER), paintings, strict=False)
    controls = Controls(styles=tuple(Style(p.name, pixels=p.pixels, label=label) for label, p in labels))
    paint: Any = backends.build_painter(trained, controls, backends.default_plan(trained, controls), b"")
    changed = 0
    for photo in photos:
        outside = torch.from_numpy(~np.isin(photo.labels, (SKY, WATER)))
        painted = paint(photo.batch, torch.from_numpy(photo.labels.copy())[None])
        changed += int((painted != photo.batch).any(1)[0][outside].sum())
    return changed


def main() -> None:
    """Measure, and write `results/regions.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of monet2photo")
    parser.add_argument("--models", nargs="*", default=[], help="names or folders of models that take style pictures")
    parser.add_argument("--sheet", type=Path, help="PNG of pairs, painted whole and by regions, for the eye")
    arguments = parser.parse_args()
    pictures = read_outlined(arguments.data)
    photos = [one for one in pictures if one.name.startswith("photo")]
    paintings = [one for one in pictures if one.name.startswith("monet")]
    result: dict[str, Any] = {"hardware": hardware(), "matching": matching(photos, paintings), "transfer": {}}
    print(json.dumps(result["matching"], indent=2), flush=True)
    pairs = [(photo, painting) for photo in photos for painting in paintings]
    some = [pairs[k] for k in np.random.default_rng(0).permutation(len(pairs))[:PAIRS]]
    judge = networks.load("vgg19", encoder_weights.resolve("vgg19"))
    for model in arguments.models:
        found, rows = transfer(model, some, judge)
        found["changed_outside"] = changed_outside(model, photos[: found["pairs"]], paintings)
        result["transfer"][Path(model).name] = found
        print(model, json.dumps(found), flush=True)
        if arguments.sheet:
            grid = contact_sheet(rows[:8], rows=[f"{n}" for n in range(len(rows[:8]))], cell_px=200)
            arguments.sheet.with_stem(f"{arguments.sheet.stem}-{Path(model).name}").write_bytes(
                codec.encode(np.asarray(grid), "png")
            )
    (RESULTS / "regions.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
