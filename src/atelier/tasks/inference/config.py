"""Parameters of stylization, and of generation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from atelier.models.controls import Controls, Direction, Matching, Stroke, checked_stroke
from atelier.models.settings import Settings, setting, setting_of
from atelier.tasks.inference.execution_plan import ExecutionConfig, ExecutionPlan
from atelier.tasks.video.encode import VideoConfig


@dataclass(frozen=True)
class InsertConfig(Settings):
    """An object that is added to every picture, and where."""

    object: str = setting("", "picture of the object, such as a PNG, transparent around it; empty: none")
    at: str = setting(
        "50%,50%",
        "X,Y of its middle, in pixels or percent of the picture; below 0 they count from the right and from below",
    )
    scale: Annotated[str, BeforeValidator(str)] = setting(
        "1", "factor on its own size, like 0.5; or its width in percent of the picture's, like 20%"
    )


def insert_values(insert: object) -> object:
    """The fields of an `InsertConfig`, of a text that names its object; other values as they are."""
    return {"object": insert} if isinstance(insert, str) else insert


@dataclass(frozen=True)
class ControlsConfig(Settings):
    """How a model paints."""

    strength: float = setting(1.0, "strength of the style: 0 returns the picture, 1 is the full style", ge=0, le=1)
    direction: Direction = setting("a2b", "a2b: content to style; b2a: style to content (cyclegan)")
    to: tuple[str, ...] = setting(
        (), "attributes or domains to add, NAME or NAME=AMOUNT; -NAME removes one (stargan, edit)"
    )
    styles: tuple[str, ...] = setting(
        (), "styles to mix, NAME=WEIGHT or IMAGE=WEIGHT, with mask_from IMAGE@LABEL=WEIGHT; empty: the trained style"
    )
    masks: tuple[str, ...] = setting(
        (), "a picture for each style, white where the style is applied; empty: everywhere"
    )
    remove: tuple[str, ...] = setting(
        (),
        "what is removed: faces or text, which is found in each picture, or boxes X,Y,WIDTH,HEIGHT in every picture, "
        "in pixels or percent; X and Y below 0 count from the right and from below (models that fill holes)",
    )
    insert: Annotated[InsertConfig, BeforeValidator(insert_values)] = setting(
        InsertConfig(), "an object that is added to every picture (models that fill holes)"
    )
    regions: Matching = setting(
        "off", "auto: each region of a picture gets the style of the region of the style pictures that it is nearest to"
    )
    preserve_color: bool = setting(False, "keep the colours of the picture")
    palette: str = setting("", "picture, or folder of pictures, whose colours those of the outputs stay near")
    style_weight: float | None = setting(None, "factor on the style weight of gatys", gt=0)
    noise: float | None = setting(
        None,
        "for restore: standard deviation of the pictures' noise, in 8-bit values; null: the model sees for itself",
        ge=0,
        le=100,
    )
    steps: int | None = setting(None, "optimisation steps of gatys and edit; null: its own number", ge=1)
    stroke: Annotated[Stroke, BeforeValidator(checked_stroke)] = setting(
        1.0,
        "breadth of the strokes, from 0.2 to 8: 1 is that of a picture of 640 px, 2 is twice as broad; larger pictures "
        "are painted at the size that gives it, and enlarged. full: they are painted at full size",
    )


@dataclass(frozen=True)
class ChainStep(ControlsConfig):
    """A model of a chain, as a user names it, and how it paints."""

    model: str = setting("", "style-model@prod, starter/NAME or a folder, as --model takes it")


def step_values(step: object) -> object:
    """The fields of a `ChainStep`, from the text MODEL,CONTROL=VALUE,… or from a mapping; other values as they are.

    A control that takes several values, such as style, is named once for each.

    Raises:
        ValueError: what follows a comma is no control.
    """
    if (isinstance(step, dict) and not step.get("model")) or step == "":
        raise ValueError("a step of a chain is a model, or a mapping with the key model")
    if not isinstance(step, str):
        return step
    if Path(step).expanduser().is_dir():
        return {"model": step}
    model, *settings = step.split(",")
    values: dict[str, Any] = {"model": model}
    for text in settings:
        name, given, value = text.strip().partition("=")
        name = name.replace("-", "_")
        key = f"{name}s" if name in ("style", "mask") else name
        if key not in CONTROLS:
            raise ValueError(f"{text.strip()!r} after {model} is no control: there are {', '.join(CONTROLS)}")
        if isinstance(getattr(ControlsConfig, key), tuple):
            values[key] = (*values.get(key, ()), value)
        else:
            values[key] = value if given else True
    return values


CONTROLS = tuple(one.name for one in fields(ControlsConfig))


@dataclass(frozen=True)
class StylizeConfig(ControlsConfig):
    """The parameters of a bulk job or of a single picture."""

    chain: tuple[Annotated[ChainStep, BeforeValidator(step_values)], ...] = setting(
        (),
        "models that paint one after another where no --model is given, each a name or a mapping of model and its "
        "controls; empty: style-model@prod",
    )
    mask_from: str = setting(
        "",
        "folder, archive or URL of label pictures that mirror the inputs, or one PNG for all: a style IMAGE@LABEL is "
        "applied where they have LABEL, and a model that fills holes fills where they are not 0",
    )
    keep_from: str = setting(
        "",
        "folder, archive or URL of pictures that mirror the inputs, grey or palette PNGs, or one for all: where one is "
        "not 0, such as on a logo, the input stays as it is",
    )
    format: Literal["keep", "png", "jpeg", "webp", "avif"] = setting(
        "keep",
        "format of the outputs; keep: that of the input's suffix, with its mode, depth, alpha and "
        "frames. JPEG has a white background instead of alpha, and only the first frame",
    )
    quality: int = setting(95, "quality of JPEG, WebP and AVIF outputs", ge=1, le=100)
    size: int | None = setting(
        None,
        "longest side of the outputs, in px; larger pictures are shrunk first, for a model that enlarges to that "
        "much less. null: keep the size",
        ge=1,
    )
    metadata: Literal["keep", "strip"] = setting(
        "keep", "EXIF with GPS, resolution and comments of the inputs: keep or strip"
    )
    execution: ExecutionConfig = setting_of(ExecutionConfig, "backend, precision and device of the model")
    stages: Literal["auto", "together", "apart"] = setting(
        "auto",
        "together: each worker runs all stages; apart: other tasks read and write the files; auto: "
        "apart if the cluster has nodes with and without GPUs",
    )
    video: VideoConfig = setting_of(VideoConfig, "how videos are written")
    picture_timeout_s: float = setting(
        120.0,
        "longest time for a step of a picture: reading, painting or writing it; its worker is then replaced, and the "
        "second time the picture is quarantined. Larger pictures than 1 megapixel get more in proportion",
        gt=0,
    )
    max_bytes: int = setting(2**29, "largest file that is read, in bytes", ge=1)
    max_pixels: int = setting(
        160_000_000,
        "largest picture that is stylized, in pixels, and largest output of a model that enlarges; larger ones are "
        "quarantined. The limit is at most 16.7 million for what is painted at full size without tiles",
        ge=1,
    )
    max_frames: int = setting(
        1000, "largest number of frames or pages of a file; files with more are quarantined", ge=1
    )
    salvage: bool = setting(
        False,
        "of a file with damaged frames or pages, keep those that can be read: animations up to the first damaged "
        "frame, and all other pages. Without it such files are quarantined",
    )


def provenance_parameters(
    controls: Sequence[Controls], config: StylizeConfig, plans: Sequence[ExecutionPlan] = ()
) -> dict[str, Any]:
    """The parameters that are written into the provenance of an output.

    Args:
        controls: of each model of the chain.
        config: of the job.
        plans: of each model; none of a single picture, which always has the same.

    Returns:
        Those of the first model and of the output; under `then` those of each further model.
    """
    first, *then = ({"strength": one.strength, **one.changed()} for one in controls)
    for one, plan in zip((first, *then), plans, strict=False):
        one["plan"] = plan.record
    output = {"stroke": config.stroke, "quality": config.quality, "size": config.size, "metadata": config.metadata}
    return first | output | ({"then": then} if then else {})


MOST_GENERATED = 1_000_000  # pictures
MOST_RECONSTRUCTED = 64  # pictures on a sheet


@dataclass(frozen=True)
class GenerateConfig:
    """Parameters of generation.

    Raises:
        ValueError: a value is out of its range.
    """

    count: int = 64  # number of pictures
    seed: int = 0  # of the noise
    truncation: float | None = None  # noise is drawn within ± this, or latents are drawn to their mean; None: neither
    interpolate: int = 0  # pictures of a strip from one picture to the next; 0: no strips
    video: bool = False  # whether a film goes through these strips as well
    mix: int = 0  # pictures that give styles of layers to as many others; 0: no mixing
    codes: tuple[tuple[int, float], ...] = ()  # values that codes have in all pictures, by number of the code
    reconstruct: tuple[Path, ...] = ()  # picture files that are shown beside their reconstructions
    poses: int = 1  # consecutive pictures of one character
    like: Path | None = None  # picture file that all pictures are like

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 1 <= self.count <= MOST_GENERATED:
            raise ValueError(f"--count must be between 1 and {MOST_GENERATED:,}, not {self.count:,}")
        if self.seed < 0:
            raise ValueError(f"--seed must not be below 0, it is {self.seed}")
        if self.truncation is not None and not 0 < self.truncation < math.inf:
            raise ValueError(f"--truncation must be above 0, not {self.truncation}")
        if self.interpolate and not 2 <= self.interpolate <= 64:
            raise ValueError(f"--interpolate must be between 2 and 64 pictures, not {self.interpolate}")
        if self.interpolate and self.count < 2:
            raise ValueError("--interpolate goes from one picture to the next: --count must be 2 at least")
        if len(self.reconstruct) > MOST_RECONSTRUCTED:
            raise ValueError(f"--reconstruct shows {MOST_RECONSTRUCTED} pictures at most, not {len(self.reconstruct)}")
        if self.video and not self.interpolate:
            raise ValueError("--video shows interpolations: say with --interpolate how many pictures each has")
        if self.mix and not 1 <= self.mix <= 16:
            raise ValueError(f"--mix must be between 1 and 16 pictures, not {self.mix}")
        if self.like and (self.poses > 1 or self.interpolate):
            raise ValueError("--like makes pictures like one, without characters or strips: leave these options out")
        if self.poses > 1 and self.interpolate:
            raise ValueError("--interpolate goes from one picture to the next, not between characters: leave one out")
        if len(dict(self.codes)) < len(self.codes):
            raise ValueError("--code has two values for one code: name each code once")
