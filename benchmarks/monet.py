"""Photographs to Monet after minutes of adaptation, on held-out pictures: from a base model, and from nothing.

    python benchmarks/monet.py FOLDER --base starter/monet --keep WORK [--parts]

FOLDER holds `photo/` and `monet/` (the "monet2photo" set of Zhu et al. 2017). A fifth of each is held out by ingestion,
which the bytes of a file decide: a base that was trained on Monets of this folder with the same share has not seen the
held-out ones either. Training goes on from the base for `--minutes` of processor time with the base's own settings, but
for those in `--settings`, and with equal settings from nothing. Both are measured at 128 px and at 256 px, beside the
base as it is: KID, SSIM, repetition and the other metrics of `atelier evaluate`, with their intervals.

With `--parts` KID is also measured at 256 px, on a third of the photographs, of pictures that have the coarse structure
of the painted and the fine one of the photograph, of the opposite, and of the painted, blurred or faded.

What is trained and measured is kept in WORK: the same command goes on, also with another base or other settings.
"""

import argparse
import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from atelier.models import artifact
from atelier.models.card import ModelCard, weights_sha256
from atelier.models.configs import config_class
from atelier.models.configs.initial_weights import adapted
from atelier.models.metrics.kid import kid
from atelier.models.settings import from_json
from atelier.tasks.dataset.shards import read_card
from atelier.tasks.dataset.subsets import Picture, held_out_pictures
from atelier.tasks.evaluation.measure_models import Measurement
from atelier.tasks.evaluation.measures import center_squares, measure_real, measure_stylized
from atelier.tasks.evaluation.metric_catalogue import rounded
from atelier.tasks.evaluation.protocol import EvaluateConfig, choose_encoder
from atelier.tasks.evaluation.summary import summarize
from atelier.tasks.images import codec
from atelier.tasks.images.contact_sheet import contact_sheet
from methods import Contender, in_processes, workspace
from painters import channels_last, folder_of
from training import RESULTS, hardware

SIZES = (128, 256)  # px, that are measured
COARSE_PX = 2.0  # standard deviation of the Gaussian that parts coarse from fine structure
SHOWN = 7  # photographs on the sheet
MOST = 10_000  # held-out pictures: all


def training_set(folder: Path, size_px: int, keep: Path) -> Path:
    """The workspace of both domains, with windows of all scales from half a picture on."""
    root = keep / f"workspace-{size_px}"
    sources = ["--content", str(folder / "photo"), "--style", str(folder / "monet")]
    area = [0.3, 1.0]
    changes = {"augment.default.crop_area": area, "augment.domains.photos.crop_area": area}
    workspace(root, sources, changes | {"ingest.size_px": max(SIZES), "augment.size_px": size_px})
    return root


def from_base(base: Path, method: str, settings: dict[str, Any], batch: int) -> Contender:
    """How training goes on from a base: by its own method and settings, or by another method that fits its network."""
    card = ModelCard.read(base)
    method = method or card.method
    known = dict(card.config) if method == card.method else {}
    config = adapted(from_json(config_class(method), known | settings), card.settings)
    if config is None:
        raise SystemExit(f"{method} has no generator like that of {base}: name another --method")
    return Contender(method, asdict(config), batch, card.encoder, start=str(base))


def trained(contender: Contender, data: Path, keep: Path, minutes: float) -> tuple[Path, dict[str, Any]]:
    """A model, and what its training took; kept by all that decides it."""
    start = weights_sha256(Path(contender.start)) if contender.start else ""
    decides = json.dumps([asdict(replace(contender, start=start)), data.parent.parent.name, minutes])
    name = hashlib.sha256(decides.encode()).hexdigest()[:12]
    in_processes([name], {name: contender}, data, keep / "models", minutes)
    return keep / "models" / name / "model", json.loads((keep / "models" / name / "training.json").read_text())


def measured(model: Path, root: Path, keep: Path) -> dict[str, Any]:
    """All metrics of a model on what is held out, by size; kept by its weights."""
    file = keep / "measured" / f"{weights_sha256(model)[:12]}.json"
    if file.is_file():
        return dict(json.loads(file.read_text()))
    encoder, found = choose_encoder(ModelCard.read(model).encoder), dict[str, Any]()
    photos, paintings = held_out(root, "photos"), held_out(root, "paintings")
    for px in SIZES:
        on = Measurement(EvaluateConfig(), photos, paintings, px, encoder, keep / "features")
        made = [measure_stylized(files, px, model, encoder) for files in on.batches(photos)]
        untouched = [
            measure_real(files, px, encoder, cache)
            for of in (photos, paintings)
            for files, cache in zip(on.batches(of), on.kept(of), strict=True)
        ]
        found[str(px)] = {"counts": on.counts, **rounded(summarize(made, untouched, encoder, on.bootstrap)[0])}
        print(f"{model} at {px} px: KID × 1000 {1000 * found[str(px)]['kid']['stylized']:.1f}", flush=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found))
    return found


def held_out(root: Path, domain: str, most: int = MOST) -> list[Picture]:
    """The pictures of a domain that no training saw."""
    dataset = root / "data" / "dataset"
    return held_out_pictures(dataset, read_card(dataset), domain, most)


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Uint8 (B, 3, H, W) through a Gaussian of so many pixels, as float."""
    side = 2 * int(3 * sigma + 0.5) + 1
    made: Tensor = gaussian_blur2d(pictures.float(), (side, side), (sigma, sigma))
    return made


def parts(model: Path, root: Path, keep: Path) -> dict[str, float]:
    """KID × 1000 at the largest size of what is made of a model's coarse and fine structure and the photographs'."""
    encoder, px = choose_encoder(ModelCard.read(model).encoder), max(SIZES)
    photos, paintings = held_out(root, "photos"), held_out(root, "paintings")
    given = center_squares([photo.data for photo in photos[::3]], px)
    paint = artifact.load(model).painter()
    painted = torch.cat([paint(some) for some in torch.split(given, 16)])
    coarse, coarse_given = blurred(painted, COARSE_PX), blurred(given, COARSE_PX)
    made = {
        "photograph": given.float(),
        "painted": painted.float(),
        "coarse painted, fine photograph": coarse + given - coarse_given,
        "coarse photograph, fine painted": coarse_given + painted - coarse,
        "painted, blurred with 0.6 px": blurred(painted, 0.6),
        "painted, blurred with 1 px": blurred(painted, 1.0),
        "0.7 painted, 0.3 photograph": 0.7 * painted + 0.3 * given,
    }

    def deep(name: str, files: list[bytes]) -> Any:
        kept = keep / "features" / f"parts-{weights_sha256(model)[:12]}-{name.replace(' ', '-')}.safetensors"
        return measure_real(files, px, encoder, kept).deep

    real = deep("paintings", [painting.data for painting in paintings])
    found = dict[str, float]()
    for name, pictures in made.items():
        whole = pictures.round().clamp(0, 255).to(torch.uint8)
        files = [codec.encode(channels_last(one), "png") for one in torch.split(whole, 1)]
        found[name] = round(1000 * kid(deep(name, files), real), 1)
        print(f"{name}: {found[name]}", flush=True)
    return found


def show(models: dict[str, Path], root: Path, out: Path) -> None:
    """A contact sheet: held-out photographs, and what each model makes of them."""
    photos = held_out(root, "photos", SHOWN)
    squares = center_squares([photo.data for photo in photos], max(SIZES))
    paints = {name: artifact.load(model).painter() for name, model in models.items()}
    rows = [[channels_last(paint(one[None])) for one in squares] for paint in (lambda x: x, *paints.values())]
    sheet = contact_sheet(rows, ("photograph", *models), (), max(SIZES))
    out.write_bytes(codec.encode(sheet, "png"))


def main() -> None:
    """Train, measure, print and write `results/monet.json` and `monet.png` in WORK."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds photo/ and monet/")
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--base", default="starter/monet", help="starter/NAME, or a model folder")
    parser.add_argument("--minutes", type=float, default=10, help="of processor time, for each training")
    parser.add_argument("--size", type=int, default=160, help="side of the windows that training sees, px")
    parser.add_argument("--method", default="", help="that of the base by default")
    parser.add_argument("--settings", type=json.loads, default={}, help="of the method that differ from the base's")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--parts", action="store_true", help="measure what the base gains by, too")
    parser.add_argument(
        "--only", nargs="+", choices=["base", "adapted", "nothing"], default=["base", "adapted", "nothing"]
    )
    arguments = parser.parse_args()
    for name in ("photo", "monet"):
        if not (arguments.folder / name).is_dir():
            parser.error(f"{arguments.folder / name} is missing")
    keep, base = arguments.keep.resolve(), folder_of(arguments.base).resolve()
    root = training_set(arguments.folder.resolve(), arguments.size, keep)
    contender = from_base(base, arguments.method, arguments.settings, arguments.batch)
    models, training = {"base": base}, dict[str, Any]()
    for name, one in (("adapted", contender), ("nothing", replace(contender, start=""))):
        if name in arguments.only:
            models[name], training[name] = trained(one, root / "data" / "augmented", keep, arguments.minutes)
    models = {name: model for name, model in models.items() if name in arguments.only}
    show(models, root, keep / "monet.png")
    result = {
        "hardware": hardware(), "base": weights_sha256(base), "minutes_of_processor_time": arguments.minutes,
        "size_px": arguments.size, "method": contender.method, "settings": contender.settings, "training": training,
        "measured": {name: measured(model, root, keep) for name, model in models.items()},
    }  # fmt: skip
    if arguments.parts:
        result["base_in_parts"] = parts(base, root, keep)
    (RESULTS / "monet.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    print(f"look at {keep / 'monet.png'}")


if __name__ == "__main__":
    main()
