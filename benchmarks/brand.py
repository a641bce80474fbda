"""A brand style from few pictures of one artist: how near the adapted model comes to a picture that was left out.

    python benchmarks/brand.py MONETS PHOTOGRAPHS --content FOLDER --keep WORK

MONETS is the folder of Claude Monet's paintings of the "monet2photo" set (Zhu et al. 2017), PHOTOGRAPHS one of
photographs that no model was trained on, FOLDER one of photographs to train with. Five sets of six pictures are five
motifs that Monet painted many times; none of them is among the pictures of `starter/paintings`. Each set goes through
the recipe of `atelier init --brand` for at most `--steps` steps, from a base model; one picture is left out. Then
`--pictures` photographs are painted with the set's palette, as the documentation has it.

Gram distances are in VGG-19, which is in no loss, to the left-out picture, as a share of the photograph's own: of the
adapted model, and of `--any`, to which the other pictures of the set were given as styles. Palette and copies are those
of `atelier check-brand`. What is trained and painted is kept in WORK: the same command goes on.
"""

import argparse
import hashlib
import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from atelier.flows.config.defaults import BRAND, BRAND_BASE, BRAND_STEPS
from atelier.flows.config.params import Params
from atelier.models import artifact
from atelier.models.card import ModelCard, identify, weights_sha256
from atelier.models.configs.initial_weights import adapted
from atelier.models.controls import Controls, Style
from atelier.tasks.dataset.shards import read_card, read_rows
from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.inference.brand_check import check_brand
from atelier.tasks.inference.config import StylizeConfig
from atelier.tasks.inference.single_image import stylize_image
from atelier.tasks.runtime.progress import Progress
from atelier.tasks.training.config import TrainConfig
from atelier.tasks.training.train import train
from methods import workspace
from painters import channels_last, folder_of
from pictures import Ruler
from styles import tensor
from training import RESULTS, hardware

SETS = {
    "cliffs": ("25c9904782", "593db29cce", "5926f85cbf", "6bbe0e63c6", "6f0b9df5c5", "dcf5ea1040"),
    "haystacks": ("2cca56415e", "7d64c3100c", "cb9c553ded", "ce3e0daddd", "d6d6e625bd", "dcab49d080"),
    "lilies": ("14ff6e6a99", "4f3f4ff590", "77b37629f2", "aa76c7625a", "d7948c7635", "f4413e97bd"),
    "london": ("23d6aeb485", "3eaef3ee43", "417e77e946", "6a03aea8be", "b1ea5d5a7d", "cdddf326e3"),
    "venice": ("05b493ff42", "19dc36ccb2", "252d9a4abc", "88402296cc", "a7977705be", "c1dc1a85a4"),
}
SHOWN = 6  # photographs on the sheet

Row = list[Pixels | None]


def pictures_of(name: str, monets: Path, keep: Path) -> Path:
    """The folder of a set."""
    folder = keep / "sets" / name
    folder.mkdir(parents=True, exist_ok=True)
    for stem in SETS[name]:
        shutil.copy(monets / f"{stem}.jpg", folder)
    return folder


def adaptation(root: Path, base: Path, encoder: str) -> TrainConfig:
    """The recipe's training, from this base."""
    config = Params(root / "params.yaml").train
    fitting = adapted(config.method_config, ModelCard.read(base).settings)
    if fitting is None:
        raise SystemExit(f"{config.method} has no generator like that of {base}: name another base")
    changes: dict[str, Any] = {config.method: fitting, "encoder": encoder, "start_from": "a base", "workers": 0}
    return replace(config, **changes)


def trained(root: Path, base: Path, encoder: str, keep: Path) -> tuple[Path, dict[str, Any]]:
    """The adapted model, and what its training took; kept by all that decides it."""
    config = adaptation(root, base, encoder)
    decides = json.dumps([root.name, weights_sha256(base), config.facts()], sort_keys=True)
    out = keep / "models" / f"{root.name}-{hashlib.sha256(decides.encode()).hexdigest()[:12]}"
    finished = out / "training.json"
    if not finished.is_file():
        begun = time.process_time()

        def tell(progress: Progress) -> None:
            print(f"\r{root.name}: {progress.done}/{progress.total} {progress.note:<80.80}", end="", file=sys.stderr)

        data = root / "data" / "augmented"
        train(config, data, out / "model", out / "checkpoints", out / "logs", tell, base)
        took = {"at_most_steps": config.loop.steps, "processor_seconds": round(time.process_time() - begun)}
        finished.write_text(json.dumps(took))
    return out / "model", json.loads(finished.read_text())


def left_out(root: Path) -> str:
    """The name of the picture that training did not see."""
    dataset = root / "data" / "dataset"
    groups = read_rows(dataset, read_card(dataset), BRAND, "holdout", ["group"])["group"].to_pylist()
    return str(groups[0]).partition(":")[2]


def by_brand(model: Path, photos: list[Path], palette: Path, folder: Path) -> dict[str, Pixels]:
    """Photographs painted by the adapted model, with the set's palette."""
    folder.mkdir(parents=True, exist_ok=True)
    config = StylizeConfig(palette=str(palette), format="png")
    identity = identify(model, "brand", "")
    for path in photos:
        stylize_image(path, folder / f"{path.stem}.png", model, config, identity)
    return {path.stem: codec.load(folder / f"{path.stem}.png") for path in photos}


def by_any(model: Path, photos: list[Path], pictures: list[Path]) -> dict[str, Pixels]:
    """Photographs painted in the mixed style of pictures."""
    styles = tuple(Style(path.name, 1.0, codec.load(path)) for path in pictures)
    painter = artifact.load(model).painter(Controls(styles=styles))
    return {path.stem: channels_last(painter(tensor(codec.load(path)))) for path in photos}


def measured(name: str, arguments: argparse.Namespace, ruler: Ruler) -> tuple[dict[str, Any], list[Row]]:
    """The figures of a set; and two rows of pictures, any style and the adapted model, after the one left out."""
    keep, base, any_style = arguments.keep, folder_of(arguments.base), folder_of(arguments.any)
    brand, root = pictures_of(name, arguments.monets, keep), keep / "workspaces" / name
    sources = ["--brand", str(brand), "--content", str(arguments.content)]
    steps = {"train.loop.steps": arguments.steps, "train.loop.sample_every": max(1, arguments.steps // 10)}
    workspace(root, sources, steps)
    model, training = trained(root, base, arguments.encoder, keep)
    out, held = model.parent, brand / left_out(root)
    untuned_in = keep / "any" / f"{name}-{weights_sha256(any_style)[:12]}"
    untuned_in.mkdir(parents=True, exist_ok=True)
    made = by_brand(model, arguments.photos, brand, out / "painted")
    untuned = by_any(any_style, arguments.photos, [path for path in sorted(brand.iterdir()) if path != held])
    style = codec.load(held)
    of_brand, of_any = ruler.measured(made, style, out), ruler.measured(untuned, style, untuned_in)
    distances = [one["gram_distance"]["median"] for one in (of_brand, of_any)]
    checked, _ = check_brand(out / "painted", brand)
    found = {
        "left_out": held.name, "training": training, "gram_distance": distances[0], "of_any_style": distances[1],
        "ratio": round(distances[0] / distances[1], 3), "content_change": of_brand["content_change"]["median"],
        "repetition": of_brand["repetition"].get("median"), "palette_distance": checked.palette_distance,
        "copied": list(checked.copied), "largest_correlation": max(checked.correlations.values()),
    }  # fmt: skip
    return found, [[style, *list(ones.values())[:SHOWN]] for ones in (untuned, made)]


def main() -> None:
    """Adapt to all sets, or those that are named; write `results/brand.json` and `brand.png` in WORK."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("monets", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--content", type=Path, required=True, help="photographs that training paints")
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--base", default=BRAND_BASE, help="starter/NAME, or a model folder")
    parser.add_argument("--any", default="starter/any-style", help="the model for any style, as it is")
    parser.add_argument("--encoder", default="auto", help="of the losses")
    parser.add_argument("--steps", type=int, default=BRAND_STEPS, help="of a training, at most")
    parser.add_argument("--pictures", type=int, default=12, help="photographs that are painted and measured")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    arguments = parser.parse_args()
    arguments.keep, arguments.content = arguments.keep.resolve(), arguments.content.resolve()
    arguments.photos = sorted(arguments.photographs.glob("*.jpg"))[: arguments.pictures]
    photos = {path.stem: codec.load(path) for path in arguments.photos}
    ruler, found = Ruler(photos), dict[str, Any]()
    rows: list[Row] = [[None, *list(photos.values())[:SHOWN]]]
    for name in arguments.sets:
        found[name], painted = measured(name, arguments, ruler)
        rows += painted
        print(name, json.dumps(found[name]), flush=True)
    sheet = contact_sheet(rows, ("", *(f"{name}, {who}" for name in found for who in ("any style", "brand"))), (), 224)
    (arguments.keep / "brand.png").write_bytes(codec.encode(sheet, "png"))
    result = {
        "hardware": hardware(), "base": weights_sha256(folder_of(arguments.base)), "steps": arguments.steps,
        "ratio": median(one["ratio"] for one in found.values()),
        "palette_distance": median(one["palette_distance"] for one in found.values()),
        "copied": sum(len(one["copied"]) for one in found.values()), "sets": found,
    }  # fmt: skip
    (RESULTS / "brand.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    print(f"look at {arguments.keep / 'brand.png'}")


if __name__ == "__main__":
    main()
