"""The Python interface: `load` gives a painter of PIL images, NumPy arrays and PyTorch tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from atelier.models import artifact
from atelier.models.card import ModelCard
from atelier.models.controls import Controls, Direction, Matching, Stroke, Style
from atelier.models.painter import Painter
from atelier.tasks.inference import backends
from atelier.tasks.inference.chain import assign_controls, parse_step
from atelier.tasks.inference.config import InsertConfig, StylizeConfig
from atelier.tasks.inference.controls import chain_controls, controls_from_config
from atelier.tasks.inference.execution_plan import Execution
from atelier.tasks.inference.model_lookup import find_model

__all__ = ["ImagePainter", "Style", "load"]

ImageT = TypeVar("ImageT", Image.Image, NDArray[Any], Tensor)


class Options(TypedDict, total=False):
    """Options of `load`, of which a method honours some."""

    strength: float  # 0 leaves the image, 1 (the default) is the full style
    to: Sequence[str]  # attributes that the result has, NAME or NAME=AMOUNT (stargan, edit); "-NAME" takes one away
    preserve_color: bool  # keep the colours of the input
    palette: Sequence[str]  # colours like "#20409a" that those of the result stay near
    direction: Direction  # "a2b" (the default) from content to style, or "b2a" back (cyclegan)
    stroke: Stroke  # breadth of the strokes: 1 (the default) as on a picture of 640 px; "full" paints at full size
    remove: Sequence[str]  # boxes X,Y,WIDTH,HEIGHT that are filled (inpaint)
    insert: Mapping[str, str]  # an object that is added (inpaint): {"object": FILE, "at": "50%,80%", "scale": "20%"}
    regions: Matching  # "auto" gives each region the style of the nearest region of the style images


def load(
    model: str | Path | Sequence[str | Path],
    *,
    styles: Sequence[Style | Image.Image | NDArray[Any] | Tensor | str | Path] = (),
    device: torch.device | str = "cpu",
    workspace: Path | None = None,
    **options: Unpack[Options],
) -> "ImagePainter":
    """Load a model that stylizes images, or a chain of them.

    A method honours some of the options and refuses the others. In a chain an option goes to the one model that honours
    it.

    Args:
        model: `starter/NAME`, a model folder, or a version in a workspace such as `style-model@prod`; after commas its
            own options, such as `starter/monet,strength=0.5`. Of several each paints what the one before it made.
        styles: mixed in equal parts, or by the weight of each `Style`: images, image files, or styles that the model
            knows by name. None means the style of the training.
        device: where to compute, such as "cuda".
        workspace: where to look for a workspace; None means from the current folder upwards.
        options: strength, to, preserve_color, palette, direction, stroke, remove, insert and regions, see `Options`.

    Raises:
        FileNotFoundError: there is no such model, workspace or image file.
        TypeError: `insert` has another key.
        ValueError: the model is damaged, an option is invalid or not honoured, or PyTorch has no such device.
    """
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError("PyTorch finds no GPU: use device='cpu'")
    steps = [parse_step(str(one)) for one in ([model] if isinstance(model, str | Path) else model)]
    models = [artifact.load(find_model(step.model, workspace).folder, device) for step in steps]
    insert = controls_from_config(StylizeConfig(insert=InsertConfig(**options.get("insert", {}))), Path()).insert
    given: dict[str, Any] = {"to": (), "palette": (), "remove": (), **options, "insert": insert}
    given |= {name: tuple(given[name]) for name in ("to", "palette", "remove")}
    job = Controls(styles=tuple(_style(style) for style in styles), **given)
    own = chain_controls(StylizeConfig(), steps, Path())[1:]
    of = assign_controls(
        job.changed(),
        [step.model for step in steps],
        [trained.method.Config for trained in models],
        [controls.changed() for controls in own],
    )
    controls = [
        replace(one, **{name: getattr(job, name) for name, at in of.items() if at == index})
        for index, one in enumerate(own)
    ]
    # large images are painted as `atelier stylize` does
    executions = [Execution(backends.default_plan(*pair)) for pair in zip(models, controls, strict=True)]
    painter = backends.chain_painter(*zip(models, controls, executions, strict=True))
    return ImagePainter(painter, models[0].card, tuple(trained.card for trained in models[1:]))


class ImagePainter:
    """Stylizes images; made by `load`."""

    def __init__(self, painter: Painter, card: ModelCard, then: tuple[ModelCard, ...] = ()) -> None:
        self._painter, self.card, self.then = painter, card, then

    def __call__(self, image: ImageT) -> ImageT:
        """Stylize an image, or a batch of images of one size.

        Args:
            image: sRGB, of any size:
                PIL image of mode RGB, L, RGBA or LA, whose alpha is kept;
                NumPy array (H, W, 3), uint8 or floating point in [0, 1];
                PyTorch tensor (3, H, W) or (B, 3, H, W), uint8 or floating point in [0, 1].

        Returns:
            The same type, data type and device; the same size, or that of a model that enlarges: transparency is
            enlarged by bicubic interpolation.

        Raises:
            TypeError: it is no image of these types.
            ValueError: its shape, data type, mode or range of values is another.
        """
        if isinstance(image, Image.Image):
            return self._paint_pil(image)
        if isinstance(image, np.ndarray):
            painted: NDArray[Any] = _to_array(self._paint(_to_tensor(image))).astype(image.dtype)
            return painted
        if isinstance(image, Tensor):
            return self._paint(image) if image.ndim == 4 else self._paint(image[None])[0]
        raise TypeError(f"a {type(image).__name__} is no image: give a PIL image, a NumPy array or a PyTorch tensor")

    def _paint_pil(self, image: Image.Image) -> Image.Image:
        if image.mode not in ("RGB", "L", "RGBA", "LA"):
            raise ValueError(f"the image has mode {image.mode}: use image.convert('RGB')")
        rgb = np.asarray(image.convert("RGB"))
        painted = Image.fromarray(_to_array(self._paint(_to_tensor(rgb)))).convert(image.mode)
        if "A" in image.mode:
            painted.putalpha(image.getchannel("A").resize(painted.size, Image.Resampling.BICUBIC))
        return painted

    def _paint(self, x: Tensor) -> Tensor:
        """Stylize a tensor (B, 3, H, W)."""
        if x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape:
            raise ValueError(f"the image has shape {tuple(x.shape)}: expected (B, 3, H, W), (3, H, W) or (H, W, 3)")
        if x.dtype == torch.uint8:
            return self._painter(x)
        if not x.is_floating_point():
            raise ValueError(f"the image has type {x.dtype}: expected uint8, or floating point in [0, 1]")
        if not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(f"floating-point images are in [0, 1], and this one has {x.min():.3g} … {x.max():.3g}")
        painted = self._painter(x.float() * 2 - 1)
        return ((painted + 1) / 2).clamp(0, 1).to(x.dtype)


def _to_tensor(image: NDArray[Any]) -> Tensor:
    """(H, W, 3) to (1, 3, H, W)."""
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"the array has shape {image.shape}: expected (H, W, 3)")
    if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"the array has type {image.dtype}: expected uint8, or floating point in [0, 1]")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]


def _to_array(x: Tensor) -> NDArray[Any]:
    """(1, 3, H, W) to (H, W, 3)."""
    return x[0].permute(1, 2, 0).contiguous().cpu().numpy()


def _style(given: Style | Image.Image | NDArray[Any] | Tensor | str | Path) -> Style:
    """A style of the models from what a caller gave."""
    if isinstance(given, Style):
        return given
    if isinstance(given, str | Path):
        return controls_from_config(StylizeConfig(styles=(str(given),)), Path()).styles[0]
    if isinstance(given, Image.Image):
        given = np.asarray(given.convert("RGB"))
    if isinstance(given, np.ndarray):
        given = _to_tensor(given)[0]
    if given.ndim != 3 or given.shape[0] != 3:
        raise ValueError(f"a style image has shape {tuple(given.shape)}: expected (3, H, W) or (H, W, 3)")
    pixels = given if given.dtype == torch.uint8 else (given * 255).round().clamp(0, 255).to(torch.uint8)
    return Style("image", pixels=_to_array(pixels[None]))
