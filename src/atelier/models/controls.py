"""Controls of inference. Each method honours some of them and refuses the others by name.

Nothing here needs torch, so that a wrong control is refused before anything starts.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from atelier.models.boxes import KINDS, Box, parsed
from atelier.models.configs.base import MethodConfig
from atelier.models.insertion import Insertion

Direction = Literal["a2b", "b2a"]
Matching = Literal["off", "auto"]
Stroke = float | Literal["full"]
MOST_NOISE = 100.0  # σ in 8-bit values
MOST_AMOUNT = 2.0  # of an attribute
FINEST, BROADEST = 0.2, 8.0  # strokes: at 8 the longest side is painted at 80 px


def checked_stroke(stroke: object) -> Stroke:
    """A stroke, from a number or a text of it.

    Raises:
        ValueError: it is none.
    """
    if stroke == "full":
        return "full"
    try:
        number = float(stroke)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError):
        number = float("nan")
    if not FINEST <= number <= BROADEST:
        raise ValueError(
            f"stroke must be a number from {FINEST:g} to {BROADEST:g}, such as 2 for strokes that are twice as broad, "
            f"or full to paint at full size, not {stroke!r}"
        )
    return number


def parse_wish(text: str) -> tuple[str, float]:
    """An attribute and how much of it is given, below 0 taken, from NAME, NAME=AMOUNT, -NAME or -NAME=AMOUNT.

    Raises:
        ValueError: the amount is none.
    """
    name, _, amount = text.removeprefix("-").partition("=")
    try:
        number = float(amount or 1)
    except ValueError:
        number = 0.0
    if not 0 < number <= MOST_AMOUNT:
        raise ValueError(
            f"{text!r} is no attribute with an amount: NAME=AMOUNT has a number above 0 and up to {MOST_AMOUNT:g}, "
            "such as 0.8; -NAME takes it away"
        )
    return name, -number if text.startswith("-") else number


@dataclass(frozen=True, eq=False)
class Style:
    """A style: an image, or one that the model knows by name."""

    name: str  # of the image file or of the known style
    weight: float = 1.0  # relative to the other styles', above 0
    pixels: NDArray[np.uint8] | None = None  # (H, W, 3) sRGB; None for a known style
    mask: NDArray[np.uint8] | None = None  # (h, w), 255 where this style applies; resized to every image
    label: int | None = None  # where label pictures have this value, this style applies
    region: NDArray[np.uint8] | None = None  # (h, w), 255 where the image has this style; None means everywhere

    def record(self) -> dict[str, Any]:
        """The identity of this style, as JSON values."""
        said: dict[str, Any] = {"name": self.name, "weight": self.weight}
        for key in ("pixels", "mask"):
            array = getattr(self, key)
            if array is not None:
                said[key] = hashlib.sha256(repr(array.shape).encode() + array.tobytes()).hexdigest()[:16]
        return said if self.label is None else said | {"label": self.label}


@dataclass(frozen=True, eq=False)
class Controls:
    """The controls of a job; a default means that a control is not used."""

    strength: float = 1.0  # 0 the input bit by bit … 1 the full style
    direction: Direction = "a2b"  # from content to style, or back
    to: tuple[str, ...] = ()  # attributes or domains to give, see `parse_wish`
    styles: tuple[Style, ...] = ()  # mixed by their weights; none means the style of the training
    preserve_color: bool = False  # keep the colours of the input
    noise: float | None = None  # σ of the noise that is taken out, in 8-bit values; None: as much as the model sees
    style_weight: float | None = None  # of the style against the content, times what the method has
    steps: int | None = None  # of an optimisation on each picture
    palette: tuple[str, ...] = ()  # colours like "#20409a" that those of the outputs stay near; none: any colours
    regions: Matching = "off"  # "auto" gives each region of a picture the style of a region of the style images
    stroke: Stroke = 1.0  # breadth of the strokes, relative to the usual one; "full" paints at full size
    fill: bool = False  # pictures are filled where their label pictures are not 0
    remove: tuple[str, ...] = ()  # boxes that are filled in every picture, see `boxes.parsed`; or some of `boxes.KINDS`
    found_by: tuple[str, ...] = ()  # which detectors find those kinds
    insert: Insertion | None = None  # an object that is put into every picture

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be between 0 and 1, not {self.strength}")
        for style in self.styles:
            if not 0 < style.weight < float("inf"):
                raise ValueError(f"the weight of style {style.name!r} must be above 0, not {style.weight}")
        names = [parse_wish(wish)[0] for wish in self.to]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{twice[0]!r} is asked for twice: name it once, as it or as -{twice[0]}")
        if self.noise is not None and not 0 <= self.noise <= MOST_NOISE:
            raise ValueError(f"noise must be from 0 to {MOST_NOISE:g}, its σ in 8-bit values, not {self.noise}")
        if self.style_weight is not None and not 0 < self.style_weight < float("inf"):
            raise ValueError(f"style_weight must be above 0, not {self.style_weight}")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1, not {self.steps}")
        self._check_places()

    @property
    def placed(self) -> bool:
        """Whether styles have places, so that they are not mixed everywhere."""
        return self.regions != "off" or any(style.mask is not None for style in self.styles) or self.labelled

    @property
    def labelled(self) -> bool:
        """Whether label pictures say where styles apply."""
        return any(style.label is not None for style in self.styles)

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The boxes that are filled in every picture."""
        return tuple(parsed(one) for one in self.remove if one not in KINDS)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of things that are found in each picture and filled."""
        return tuple(one for one in KINDS if one in self.remove)

    @property
    def takes_labels(self) -> bool:
        """Whether the painter is given label pictures."""
        return self.labelled or self.fill or bool(self.kinds)

    @property
    def in_pixels(self) -> bool:
        """Whether a box or an object has its place in pixels, which belongs to pictures of one size."""
        return any(box.in_pixels for box in self.boxes) or bool(self.insert and self.insert.in_pixels)

    def _check_places(self) -> None:
        if self.labelled and any(style.label is None for style in self.styles):
            raise ValueError("give each style a label, or none: --style IMAGE@LABEL")
        if (self.regions != "off") + self.labelled + any(style.mask is not None for style in self.styles) > 1:
            raise ValueError("styles are placed by masks, by labels or by regions: use one of the three")
        if self.regions != "off" and not (self.styles and all(style.pixels is not None for style in self.styles)):
            raise ValueError("regions are matched to those of style pictures: name them with --style IMAGE")
        if self.regions != "off" and any(style.weight != self.styles[0].weight for style in self.styles):
            raise ValueError("with regions the styles have no weights: each region has one style, the nearest")
        checked_stroke(self.stroke)
        _ = self.boxes  # raises where one is no box

    def changed(self) -> dict[str, Any]:
        """The controls that differ from their defaults, as JSON values; they are part of the provenance of outputs."""
        default = Controls()
        given = {
            f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != getattr(default, f.name)
        }
        if self.styles:
            given["styles"] = [style.record() for style in self.styles]
        if self.insert:
            given["insert"] = self.insert.record()
        return {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}


def honoured_controls(method: type[MethodConfig]) -> tuple[str, ...]:
    """Names of the controls that a method honours."""
    return (*method.controls, *([] if method.fills else ["palette"]), *(["stroke"] if method.strokes else []))


def check_controls(method: type[MethodConfig], controls: Controls) -> None:
    """Refuse controls that a method does not honour.

    Raises:
        ValueError: names the control, and those that the method has; or says that the method generates from noise, or
            fills holes of which there are none.
    """
    if method.generates:
        raise ValueError(
            f"{method.name} makes pictures from noise and paints none: use `atelier generate`, or make a model that "
            "edits pictures of it by `atelier directions`"
        )
    if method.fills and not (controls.fill or controls.remove or controls.insert):
        raise ValueError(
            f"{method.name} fills holes: say where they are, by --mask-from FOLDER or --remove-box BOX, or what is "
            "added, by --insert OBJECT.png"
        )
    honoured = honoured_controls(method)
    for name in controls.changed():
        if name not in honoured:
            has = ", ".join(honoured).replace("_", "-")
            raise ValueError(f"{method.name} has no control {name.replace('_', '-')!r}: it has {has}")


def check_attributes(to: Sequence[str], known: Sequence[str]) -> None:
    """Refuse attributes that a model does not know.

    Raises:
        ValueError: names the first, and those that there are.
    """
    for name, _ in map(parse_wish, to):
        if name not in known:
            raise ValueError(f"the model knows no attribute {name!r}: it has {', '.join(known)}")
